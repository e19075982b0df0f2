// The beginning of a step: every row does with its code what was decided.

struct Rates {
    rows: u32,
    // Blocks of four values of a code.
    blocks: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    padding_0: f32,
    padding_1: f32,
    padding_2: f32,
}

@group(0) @binding(0) var<uniform> rates: Rates;
@group(0) @binding(1) var<storage, read> decisions: array<Decision>;
// [row][CODE, FIRST, SECOND, BEST, GRADIENT][blocks]
@group(0) @binding(2) var<storage, read_write> state: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let r = rates;
    let row = group.y;
    let block = group.x * 64u + thread;
    if block >= r.blocks {
        return;
    }
    let code = row * 5u * r.blocks + block;
    let first = code + r.blocks;
    let second = first + r.blocks;
    let best = second + r.blocks;
    let decision = decisions[row];
    if (decision.what & KEEP) != 0u {
        state[best] = state[code];
    }
    if (decision.what & RESTORE) != 0u {
        state[code] = state[best];
    }
    if (decision.what & ADAM) != 0u {
        let gradient = state[best + r.blocks];
        let m = r.beta1 * state[first] + (1.0 - r.beta1) * gradient;
        let v = r.beta2 * state[second] + (1.0 - r.beta2) * gradient * gradient;
        state[first] = m;
        state[second] = v;
        state[code] -= decision.rate * m / (sqrt(v) / decision.root + r.epsilon);
    }
}
