// What the convolutions have in common. Every one of them, transposed or not, forward or backward, gathers: an output is
// a sum over taps of a square and over channels of the input. A transposed convolution of stride s is s x s such sums,
// its phases, each for the outputs of one remainder of their rows and columns by s.

struct Geometry {
    // Outputs of one phase, of all pictures that fit, and their rows and columns in a picture.
    pixels: u32,
    grid_height: u32,
    grid_width: u32,
    // Phases on a side, and from one output of a phase to the next.
    out_step: u32,
    in_height: u32,
    in_width: u32,
    // Blocks of four channels: of a pixel of the map, before the first that is read, and those that are read.
    in_pixel: u32,
    in_first: u32,
    in_blocks: u32,
    // From the square of one output to that of the next.
    in_step: u32,
    out_height: u32,
    out_width: u32,
    out_pixel: u32,
    out_first: u32,
    out_blocks: u32,
    // The side of the square.
    taps: u32,
    // The first row of the square of an output of phase p is (p + lead) / out_step - shift.
    lead: u32,
    shift: u32,
    // Blocks of kernels in a phase, all taps with all channels that are read, filled up; of outputs, filled up.
    kernel_blocks: u32,
    kernel_columns: u32,
    // Shares that the sum of an output is split into, and the blocks in each.
    splits: u32,
    share: u32,
    padding_0: u32,
    padding_1: u32,
}

// What is added to four channels, and how they are stored.
struct Column {
    bias: vec4<f32>,
    finish: Finish,
}

@group(0) @binding(0) var<uniform> geometry: Geometry;
@group(0) @binding(1) var<storage, read> inputs: array<Input>;
// [phase][tap][channel][blocks of outputs], the channels of an input pixel in the order in which they lie.
@group(0) @binding(2) var<storage, read> kernels: array<Stored>;
@group(0) @binding(3) var<storage, read> columns: array<Column>;
@group(0) @binding(4) var<storage, read> seen: array<Stored>;
@group(0) @binding(5) var<storage, read_write> outputs: array<Output>;

struct Pixel {
    // Whether there is such an output.
    inside: bool,
    // The picture's first block in the input.
    base: u32,
    // Where its square begins.
    y: i32,
    x: i32,
    // Where its first block that is written lies.
    to: u32,
}

fn pixel_of(index: u32, phase: u32) -> Pixel {
    let g = geometry;
    let area = g.grid_height * g.grid_width;
    let picture = index / area;
    let rest = index - picture * area;
    let row = rest / g.grid_width;
    let column = rest - row * g.grid_width;
    let phase_y = phase / g.out_step;
    let phase_x = phase - phase_y * g.out_step;
    let out_y = row * g.out_step + phase_y;
    let out_x = column * g.out_step + phase_x;
    var pixel: Pixel;
    pixel.inside = index < g.pixels && out_y < g.out_height && out_x < g.out_width;
    pixel.base = picture * g.in_height * g.in_width * g.in_pixel + g.in_first;
    pixel.y = i32(row * g.in_step + (phase_y + g.lead) / g.out_step) - i32(g.shift);
    pixel.x = i32(column * g.in_step + (phase_x + g.lead) / g.out_step) - i32(g.shift);
    pixel.to = ((picture * g.out_height + out_y) * g.out_width + out_x) * g.out_pixel + g.out_first;
    return pixel;
}

// Whether a pixel of the input is in the picture.
fn is_inside(y: i32, x: i32) -> bool {
    return u32(y) < geometry.in_height && u32(x) < geometry.in_width;
}

// The block of a pixel of the input.
fn input_at(base: u32, y: i32, x: i32) -> u32 {
    return base + (u32(y) * geometry.in_width + u32(x)) * geometry.in_pixel;
}

fn finish_at(to: u32, block: u32, value: vec4<f32>) {
    let column = columns[block];
    store(to + block, value + column.bias, column.finish);
}
