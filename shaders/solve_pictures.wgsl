// The pictures of every row, `[row][2][pixels][blocks]`: of the latest step, and of the one with the lowest loss.

struct Pictures {
    // Blocks of a result in a picture and in a pixel; of a pixel of its map, and the first of them.
    size: u32,
    blocks: u32,
    pixel: u32,
    first: u32,
    // Blocks of all results of a row, and where those of this one begin.
    all: u32,
    begin: u32,
    padding_0: u32,
    padding_1: u32,
}

@group(0) @binding(0) var<uniform> pictures: Pictures;
@group(0) @binding(1) var<storage, read> inputs: array<Stored>;
@group(0) @binding(2) var<storage, read> slots: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> decisions: array<Decision>;
@group(0) @binding(4) var<storage, read_write> outputs: array<vec4<f32>>;

// A result of the latest step.
@compute @workgroup_size(64)
fn show(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let p = pictures;
    let i = group.x * 64u + thread;
    if i < p.size {
        let pixel = i / p.blocks;
        let origin = (group.y * (p.size / p.blocks) + pixel) * p.pixel + p.first + (i - pixel * p.blocks);
        outputs[slots[group.y].x * 2u * p.all + p.begin + i] = vec4<f32>(inputs[origin]);
    }
}

// As the losses of the step before have decided, the pictures are the best so far, or become them.
@compute @workgroup_size(64)
fn keep(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let p = pictures;
    let i = group.x * 64u + thread;
    let what = decisions[group.y].what;
    if i < p.all {
        let latest = group.y * 2u * p.all + i;
        if (what & KEEP) != 0u {
            outputs[latest + p.all] = outputs[latest];
        }
        if (what & RESTORE) != 0u {
            outputs[latest] = outputs[latest + p.all];
        }
    }
}
