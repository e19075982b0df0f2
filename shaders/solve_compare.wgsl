// A part of the loss: the differences of a place to a target, summed up in strands, and the gradient.

struct Comparison {
    // Blocks of a picture of the place, of a pixel of it, of a pixel of its map, and the first of them.
    size: u32,
    blocks: u32,
    pixel: u32,
    first: u32,
    // Invocations that share a picture, and where their sums lie among those of all parts of the loss.
    strands: u32,
    strand_first: u32,
    strand_all: u32,
    // 0: |a - b|, 1: (a - b)^2.
    squares: u32,
    // The weight, divided by the number of elements; and what gradients are multiplied with on the way.
    factor: f32,
    scale: f32,
    padding_0: f32,
    padding_1: f32,
    finish: Finish,
}

@group(0) @binding(0) var<uniform> comparison: Comparison;
// Where the place's values lie, and, as they are activated, what the slope is told from.
@group(0) @binding(1) var<storage, read> seen: array<Stored>;
// The map that the place is of, for every target.
@group(0) @binding(2) var<storage, read> targets: array<Stored>;
// For each picture, its row among the codes and that of its target.
@group(0) @binding(3) var<storage, read> slots: array<vec2<u32>>;
@group(0) @binding(4) var<storage, read_write> outputs: array<Stored>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let c = comparison;
    let picture = group.y;
    let strand = group.x * 64u + thread;
    let image = (c.size / c.blocks) * c.pixel;
    let target_first = slots[picture].y * image + c.first;
    let picture_first = picture * image + c.first;
    var sum = vec4<f32>(0.0);
    for (var i = strand; i < c.size; i += c.strands) {
        let pixel = i / c.blocks;
        let within = pixel * c.pixel + (i - pixel * c.blocks);
        let at = picture_first + within;
        let difference = vec4<f32>(seen[at]) - vec4<f32>(targets[target_first + within]);
        var slope = sign(difference);
        if c.squares != 0u {
            sum += difference * difference;
            slope = 2.0 * difference;
        } else {
            sum += abs(difference);
        }
        store(at, slope * (c.factor * c.scale), c.finish);
    }
    sums[picture * c.strand_all + c.strand_first + strand] = (sum.x + sum.y + sum.z + sum.w) * c.factor;
}
