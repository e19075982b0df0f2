// A convolution without shared memory: each invocation makes four pixels of one block of channels. For processors,
// where a barrier is dear, and for outputs of so few channels that nothing could be shared.

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = geometry;
    let phase = group.z;
    let block = group.y;
    let first = group.x * 256u + thread;
    //$i:4
    let pixel_$i = pixel_of(first + 64u * $iu, phase);
    var sum_$i = vec4<f32>(0.0);
    //$
    var kernel = phase * g.kernel_blocks * 4u * g.kernel_columns + block;
    for (var tap = 0u; tap < g.taps * g.taps; tap++) {
        let tap_y = i32(tap / g.taps);
        let tap_x = i32(tap % g.taps);
        //$i:4
        let y_$i = pixel_$i.y + tap_y;
        let x_$i = pixel_$i.x + tap_x;
        let there_$i = pixel_$i.inside && is_inside(y_$i, x_$i);
        let from_$i = select(0u, input_at(pixel_$i.base, y_$i, x_$i), there_$i);
        //$
        for (var c = 0u; c < g.in_blocks; c++) {
            //$e:4
            let kernel_$e = vec4<f32>(kernels[kernel + $eu * g.kernel_columns]);
            //$
            kernel += 4u * g.kernel_columns;
            //$i:4
            let value_$i = select(vec4<f32>(0.0), vec4<f32>(inputs[from_$i + c]), there_$i);
            sum_$i = fma(vec4<f32>(value_$i.x), kernel_0, sum_$i);
            sum_$i = fma(vec4<f32>(value_$i.y), kernel_1, sum_$i);
            sum_$i = fma(vec4<f32>(value_$i.z), kernel_2, sum_$i);
            sum_$i = fma(vec4<f32>(value_$i.w), kernel_3, sum_$i);
            //$
        }
    }
    //$i:4
    if pixel_$i.inside { finish_at(pixel_$i.to, block, sum_$i); }
    //$
}
