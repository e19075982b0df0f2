// Adds up the shares of a convolution's sums, which are its `inputs`: [split][phase][pixel][block].

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = geometry;
    let phases = g.out_step * g.out_step;
    let phase = group.z;
    // In pieces, since the number of workgroups on a side is limited.
    let at = (group.y * 1024u + group.x) * 64u + thread;
    let index = at / g.out_blocks;
    let block = at - index * g.out_blocks;
    if index >= g.pixels {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var split = 0u; split < g.splits; split++) {
        sum += inputs[((split * phases + phase) * g.pixels + index) * g.out_blocks + block];
    }
    let pixel = pixel_of(index, phase);
    if pixel.inside {
        finish_at(pixel.to, block, sum);
    }
}
