// Gram matrices: a workgroup makes four rows of one block of columns, the products of two blocks of channels. Its
// invocations share out the pixels, and add their sums up two by two.

struct Features {
    // Pixels of the map that is read, blocks of a pixel of it, and the first of them; and blocks of the place.
    pixels: u32,
    pixel: u32,
    first: u32,
    blocks: u32,
    // Channels, and where the matrix lies.
    channels: u32,
    to_pixel: u32,
    to_first: u32,
    factor: f32,
    finish: Finish,
}

@group(0) @binding(0) var<uniform> features: Features;
@group(0) @binding(1) var<storage, read> inputs: array<Stored>;
@group(0) @binding(2) var<storage, read> seen: array<Stored>;
@group(0) @binding(3) var<storage, read_write> outputs: array<Stored>;

var<workgroup> shared_rows: array<array<vec4<f32>, 4>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let f = features;
    let row = group.x / f.blocks;
    let column = group.x - row * f.blocks;
    let origin = group.y * f.pixels * f.pixel + f.first;
    //$e:4
    var sum_$e = vec4<f32>(0.0);
    //$
    for (var i = thread; i < f.pixels; i += 64u) {
        let own = vec4<f32>(inputs[origin + i * f.pixel + column]);
        let other = vec4<f32>(inputs[origin + i * f.pixel + row]);
        //$e:4
        sum_$e = fma(vec4<f32>(other[$e]), own, sum_$e);
        //$
    }
    //$e:4
    shared_rows[thread][$e] = sum_$e;
    //$
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if thread < reach {
            //$e:4
            shared_rows[thread][$e] += shared_rows[thread + reach][$e];
            //$
        }
    }
    workgroupBarrier();
    let channel = row * 4u + thread;
    if thread < 4u && channel < f.channels {
        let to = (group.y * f.channels + channel) * f.to_pixel + f.to_first + column;
        store(to, shared_rows[0][thread] * f.factor, f.finish);
    }
}
