// The pictures of every row as the window shows them, in the layers of a texture: G(z) of row i in layer 2 i, T(G(z))
// behind it.

struct Sheet {
    // Pixels of a picture and of a line of it.
    area: u32,
    width: u32,
    // Blocks of all results of a row, and where those of the second begin.
    all: u32,
    second: u32,
    // Blocks of a pixel of either result, and 1 where it is grey.
    blocks: vec2<u32>,
    grey: vec2<u32>,
}

@group(0) @binding(0) var<uniform> sheet: Sheet;
// [row][latest, best][pixels][blocks]
@group(0) @binding(1) var<storage, read> inputs: array<vec4<f32>>;
@group(0) @binding(2) var outputs: texture_storage_2d_array<rgba8unorm, write>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let s = sheet;
    let pixel = group.x * 64u + thread;
    if pixel < s.area {
        let which = group.z;
        let value = inputs[group.y * 2u * s.all + which * s.second + pixel * s.blocks[which]].rgb;
        let colour = select(value, value.rrr, s.grey[which] != 0u);
        let shown = vec4<f32>(clamp(colour * 0.5 + 0.5, vec3<f32>(0.0), vec3<f32>(1.0)), 1.0);
        textureStore(outputs, vec2<u32>(pixel % s.width, pixel / s.width), 2u * group.y + which, shown);
    }
}
