// What all kernels of the solver have in common. `Stored` is how maps lie in memory: four channels of a pixel, in f32 or
// f16; all arithmetic is f32. The file that follows declares the maps `outputs`, of `Output`, and `seen`.

// What happens to a value before it is stored, in this order.
struct Finish {
    // 1: what lies there is added.
    add: u32,
    // Of which activation the slope at the value in `seen` is multiplied with, and which follows.
    slope: u32,
    activation: u32,
    // The slope of a leaky relu below zero.
    leak: f32,
}

const NONE: u32 = 0u;
const RELU: u32 = 1u;
const LEAKY: u32 = 2u;
const TANH: u32 = 3u;

fn activate(value: vec4<f32>, kind: u32, leak: f32) -> vec4<f32> {
    switch kind {
        case RELU: { return max(value, vec4<f32>(0.0)); }
        case LEAKY: { return select(value * leak, value, value > vec4<f32>(0.0)); }
        // Some drivers compute it from exponentials that overflow.
        case TANH: { return tanh(clamp(value, vec4<f32>(-15.0), vec4<f32>(15.0))); }
        default: { return value; }
    }
}

// The derivative, told from the activated value.
fn slope_at(seen: vec4<f32>, kind: u32, leak: f32) -> vec4<f32> {
    switch kind {
        case RELU: { return select(vec4<f32>(0.0), vec4<f32>(1.0), seen > vec4<f32>(0.0)); }
        case LEAKY: { return select(vec4<f32>(leak), vec4<f32>(1.0), seen > vec4<f32>(0.0)); }
        case TANH: { return 1.0 - seen * seen; }
        default: { return vec4<f32>(1.0); }
    }
}

// Stores a value where it belongs, as asked.
fn store(at: u32, value: vec4<f32>, how: Finish) {
    var finished = value;
    if how.add != 0u {
        finished += vec4<f32>(outputs[at]);
    }
    if how.slope != NONE {
        finished *= slope_at(vec4<f32>(seen[at]), how.slope, how.leak);
    }
    outputs[at] = Output(activate(finished, how.activation, how.leak));
}
