// Puts the codes of the rows whose turn it is where the graph reads them.

struct Codes {
    blocks: u32,
    pixel: u32,
    first: u32,
    padding: u32,
}

@group(0) @binding(0) var<uniform> codes: Codes;
@group(0) @binding(1) var<storage, read> state: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> outputs: array<Stored>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let block = group.x * 64u + thread;
    if block < codes.blocks {
        let row = slots[group.y].x;
        outputs[group.y * codes.pixel + codes.first + block] = Stored(state[row * 5u * codes.blocks + block]);
    }
}
