// The end of a step: the loss of every picture, and the gradient in its code, kept with the code until it moves.

struct Totals {
    // Sums of a picture.
    strands: u32,
    // Blocks of four values of a code.
    blocks: u32,
    // Blocks of a pixel of the map that holds the gradient.
    pixel: u32,
    first: u32,
    // What gradients were multiplied with, turned round.
    scale: f32,
    padding_0: f32,
    padding_1: f32,
    padding_2: f32,
}

@group(0) @binding(0) var<uniform> totals: Totals;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read> gradients: array<Stored>;
@group(0) @binding(3) var<storage, read> slots: array<vec2<u32>>;
// [row][CODE, FIRST, SECOND, BEST, GRADIENT][blocks]
@group(0) @binding(4) var<storage, read_write> state: array<vec4<f32>>;
// For each row the loss, and 1 where the gradient is a number everywhere.
@group(0) @binding(5) var<storage, read_write> outcomes: array<vec2<f32>>;

var<workgroup> shared_sum: array<f32, 64>;
var<workgroup> shared_sound: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let t = totals;
    let picture = group.x;
    let row = slots[picture].x;
    var sum = 0.0;
    for (var i = thread; i < t.strands; i += 64u) {
        sum += sums[picture * t.strands + i];
    }
    var sound = 1u;
    for (var i = thread; i < t.blocks; i += 64u) {
        let gradient = vec4<f32>(gradients[picture * t.pixel + t.first + i]) * t.scale;
        state[(row * 5u + 4u) * t.blocks + i] = gradient;
        // Told by the bits, which no compiler takes for certain: exponents of infinities and of what is no number.
        let bits = bitcast<vec4<u32>>(gradient) & vec4<u32>(0x7f800000u);
        if any(bits == vec4<u32>(0x7f800000u)) {
            sound = 0u;
        }
    }
    shared_sum[thread] = sum;
    shared_sound[thread] = sound;
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if thread < reach {
            shared_sum[thread] += shared_sum[thread + reach];
            shared_sound[thread] &= shared_sound[thread + reach];
        }
    }
    if thread == 0u {
        outcomes[row] = vec2<f32>(shared_sum[0], f32(shared_sound[0]));
    }
}
