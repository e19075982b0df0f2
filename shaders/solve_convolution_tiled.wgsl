// A convolution by tiles, for graphics processors: a workgroup makes PIXELS pixels of BLOCKS blocks of channels. Sixteen
// channels at a time are brought into shared memory, the next ones on their way while it computes with the present ones,
// and each invocation keeps a block of sums in its registers: pixels ty + i * THREADS_Y, blocks tx + j * THREADS_X.

// [pixel][4 blocks of channels]
var<workgroup> tile: array<vec4<f32>, PIXELS * 4u>;
// [16 channels][blocks of outputs]
var<workgroup> tile_kernels: array<vec4<f32>, 16u * BLOCKS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let g = geometry;
    let phases = g.out_step * g.out_step;
    let split = group.z / phases;
    let phase = group.z - split * phases;
    let first_pixel = group.x * PIXELS;
    let first_block = group.y * BLOCKS;
    let tx = thread % THREADS_X;
    let ty = thread / THREADS_X;

    // What this invocation brings: one block of channels of some pixels, and some blocks of kernels.
    //$a:LOADS
    let source_$a = pixel_of(first_pixel + thread / 4u + $au * (THREADS / 4u), phase);
    //$
    let begin = split * g.share;
    let end = min(begin + g.share, g.kernel_blocks);
    var channel = begin + thread % 4u;
    let tap = channel / g.in_blocks;
    channel -= tap * g.in_blocks;
    var tap_y = tap / g.taps;
    var tap_x = tap - tap_y * g.taps;
    //$b:KERNEL_LOADS
    let line_$b = thread + $bu * THREADS;
    var kernel_$b = ((phase * g.kernel_blocks + begin) * 4u + line_$b / BLOCKS) * g.kernel_columns + first_block + line_$b % BLOCKS;
    //$

    //$a:LOADS
    var next_$a = vec4<f32>(0.0);
    //$
    //$b:KERNEL_LOADS
    var next_kernel_$b = vec4<f32>(0.0);
    //$
    //$i:ROWS
    //$j:COLUMNS
    var sum_$i_$j = vec4<f32>(0.0);
    //$
    //$
    // The first round brings only, the last computes only.
    for (var at = begin; at < end + 4u; at += 4u) {
        if at > begin {
            workgroupBarrier();
            //$a:LOADS
            tile[thread + $au * THREADS] = next_$a;
            //$
            //$b:KERNEL_LOADS
            if line_$b < 16u * BLOCKS { tile_kernels[line_$b] = next_kernel_$b; }
            //$
            workgroupBarrier();
        }
        if at < end {
            //$a:LOADS
            {
                let y = source_$a.y + i32(tap_y);
                let x = source_$a.x + i32(tap_x);
                next_$a = vec4<f32>(0.0);
                if source_$a.inside && tap_y < g.taps && is_inside(y, x) {
                    next_$a = vec4<f32>(inputs[input_at(source_$a.base, y, x) + channel]);
                }
            }
            //$
            channel += 4u;
            while channel >= g.in_blocks {
                channel -= g.in_blocks;
                tap_x += 1u;
                if tap_x == g.taps {
                    tap_x = 0u;
                    tap_y += 1u;
                }
            }
            //$b:KERNEL_LOADS
            if line_$b < 16u * BLOCKS { next_kernel_$b = vec4<f32>(kernels[kernel_$b]); }
            kernel_$b += 16u * g.kernel_columns;
            //$
        }
        if at > begin {
            for (var k = 0u; k < 4u; k++) {
                //$i:ROWS
                let value_$i = tile[(ty + $iu * THREADS_Y) * 4u + k];
                //$
                //$j:COLUMNS
                //$e:4
                let kernel_$e_$j = tile_kernels[(k * 4u + $eu) * BLOCKS + tx + $ju * THREADS_X];
                //$
                //$i:ROWS
                sum_$i_$j = fma(vec4<f32>(value_$i.x), kernel_0_$j, sum_$i_$j);
                sum_$i_$j = fma(vec4<f32>(value_$i.y), kernel_1_$j, sum_$i_$j);
                sum_$i_$j = fma(vec4<f32>(value_$i.z), kernel_2_$j, sum_$i_$j);
                sum_$i_$j = fma(vec4<f32>(value_$i.w), kernel_3_$j, sum_$i_$j);
                //$
                //$
            }
        }
    }

    //$i:ROWS
    {
        let index = first_pixel + ty + $iu * THREADS_Y;
        let pixel = pixel_of(index, phase);
        //$j:COLUMNS
        {
            let block = first_block + tx + $ju * THREADS_X;
            if pixel.inside && block < g.out_blocks { deliver(group.z, index, pixel.to, block, sum_$i_$j); }
        }
        //$
    }
    //$
}
