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

// The hyperbolic tangent by the rational function that the processor's kernels use: the drivers' own are as exact as they
// please, and some overflow.
fn hyperbolic_tangent(value: vec4<f32>) -> vec4<f32> {
    let x = clamp(value, vec4<f32>(-7.90389), vec4<f32>(7.90389));
    let s = x * x;
    var p = vec4<f32>(-2.7607685e-16);
    p = p * s + 2.000188e-13;
    p = p * s - 8.604672e-11;
    p = p * s + 5.122297e-8;
    p = p * s + 1.4857224e-5;
    p = p * s + 6.3726193e-4;
    p = (p * s + 4.893525e-3) * x;
    var q = vec4<f32>(1.1982584e-6);
    q = q * s + 1.185347e-4;
    q = q * s + 2.2684346e-3;
    q = q * s + 4.893525e-3;
    return p / q;
}

fn activate(value: vec4<f32>, kind: u32, leak: f32) -> vec4<f32> {
    switch kind {
        case RELU: { return max(value, vec4<f32>(0.0)); }
        case LEAKY: { return select(value * leak, value, value > vec4<f32>(0.0)); }
        case TANH: { return hyperbolic_tangent(value); }
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
