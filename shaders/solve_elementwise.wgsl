// Changes of size and sums: one invocation a block of four channels of a pixel, gathered from what it depends on. Which
// of the functions below it is, `made` says, which the program adds; the second of each pair brings the gradient back.

struct Places {
    // Rows and columns of what is read, blocks of a pixel of its map, and the first of them that is read.
    from_height: u32,
    from_width: u32,
    from_pixel: u32,
    from_first: u32,
    // The same of what is written.
    to_height: u32,
    to_width: u32,
    to_pixel: u32,
    to_first: u32,
    // Blocks of a pixel that are written.
    blocks: u32,
    // Blocks of a pixel and the first that is read, of `others`.
    other_pixel: u32,
    other_first: u32,
    // Channels of the larger place, when unfolding.
    channels: u32,
    finish: Finish,
}

@group(0) @binding(0) var<uniform> places: Places;
@group(0) @binding(1) var<storage, read> inputs: array<Stored>;
// The second term; for the gradient of maxima, what they are of.
@group(0) @binding(2) var<storage, read> others: array<Stored>;
@group(0) @binding(3) var<storage, read> seen: array<Stored>;
@group(0) @binding(4) var<storage, read_write> outputs: array<Stored>;

// What an invocation makes.
struct Item {
    inside: bool,
    picture: u32,
    y: u32,
    x: u32,
    block: u32,
}

fn item_of(group: vec3<u32>, thread: u32) -> Item {
    let p = places;
    let at = group.x * 64u + thread;
    let pixel = at / p.blocks;
    var item: Item;
    item.picture = group.y;
    item.block = at - pixel * p.blocks;
    item.y = pixel / p.to_width;
    item.x = pixel - item.y * p.to_width;
    item.inside = item.y < p.to_height;
    return item;
}

fn fetch(item: Item, y: u32, x: u32) -> vec4<f32> {
    let p = places;
    return vec4<f32>(inputs[((item.picture * p.from_height + y) * p.from_width + x) * p.from_pixel + p.from_first + item.block]);
}

// What is read two by two: a line of it.
fn two(item: Item, line: u32) -> array<vec4<f32>, 2> {
    let y = 2u * item.y + line;
    return array(fetch(item, y, 2u * item.x), fetch(item, y, 2u * item.x + 1u));
}

fn average(item: Item) -> vec4<f32> {
    let upper = two(item, 0u);
    let lower = two(item, 1u);
    return ((upper[0] + upper[1]) + (lower[0] + lower[1])) * 0.25;
}

fn average_back(item: Item) -> vec4<f32> {
    return fetch(item, item.y / 2u, item.x / 2u) * 0.25;
}

fn maximum(item: Item) -> vec4<f32> {
    let upper = two(item, 0u);
    let lower = two(item, 1u);
    return max(max(upper[0], upper[1]), max(lower[0], lower[1]));
}

fn other(item: Item, y: u32, x: u32) -> vec4<f32> {
    let p = places;
    return vec4<f32>(others[((item.picture * p.to_height + y) * p.to_width + x) * p.other_pixel + p.other_first + item.block]);
}

// The first of the largest has it all.
fn maximum_back(item: Item) -> vec4<f32> {
    let y = item.y & 0xfffffffeu;
    let x = item.x & 0xfffffffeu;
    let a = other(item, y, x);
    let b = other(item, y, x + 1u);
    let c = other(item, y + 1u, x);
    let d = other(item, y + 1u, x + 1u);
    let lower = max(c, d) > max(a, b);
    let right = select(b > a, d > c, lower);
    let mine_lower = vec4<bool>((item.y & 1u) == 1u);
    let mine_right = vec4<bool>((item.x & 1u) == 1u);
    let mine = (lower == mine_lower) & (right == mine_right);
    return select(vec4<f32>(0.0), fetch(item, item.y / 2u, item.x / 2u), mine);
}

// The row or column beside the one that holds output i, of `count` that are read.
fn beside(i: u32, count: u32) -> u32 {
    if (i & 1u) == 0u {
        return max(i / 2u, 1u) - 1u;
    }
    return min(i / 2u + 1u, count - 1u);
}

fn bilinear(item: Item) -> vec4<f32> {
    let y = item.y / 2u;
    let x = item.x / 2u;
    let far_y = beside(item.y, places.from_height);
    let far_x = beside(item.x, places.from_width);
    let near = fetch(item, y, x) * 0.75 + fetch(item, y, far_x) * 0.25;
    let far = fetch(item, far_y, x) * 0.75 + fetch(item, far_y, far_x) * 0.25;
    return near * 0.75 + far * 0.25;
}

// The share that outputs 2i - 1 to 2i + 2 have of input i of `count`.
fn shares(i: u32, count: u32) -> vec4<f32> {
    return vec4<f32>(
        select(0.25, 0.0, i == 0u), select(0.75, 1.0, i == 0u),
        select(0.75, 1.0, i + 1u == count), select(0.25, 0.0, i + 1u == count));
}

fn bilinear_back(item: Item) -> vec4<f32> {
    let down = shares(item.y, places.to_height);
    let across = shares(item.x, places.to_width);
    let left = max(2u * item.x, 1u) - 1u;
    let right = min(2u * item.x + 2u, places.from_width - 1u);
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < 4u; i++) {
        // Rows beyond the edge have no share.
        let y = min(max(2u * item.y + i, 1u) - 1u, places.from_height - 1u);
        let line = fetch(item, y, left) * across.x + fetch(item, y, 2u * item.x) * across.y
            + fetch(item, y, 2u * item.x + 1u) * across.z + fetch(item, y, right) * across.w;
        sum += line * down[i];
    }
    return sum;
}

fn unfold(item: Item) -> vec4<f32> {
    let p = places;
    let part = (item.y & 1u) * 2u + (item.x & 1u);
    let origin = ((item.picture * p.from_height + item.y / 2u) * p.from_width + item.x / 2u) * p.from_pixel + p.from_first;
    var value = vec4<f32>(0.0);
    for (var o = 0u; o < p.channels; o++) {
        let channel = part * p.channels + o;
        value[o] = vec4<f32>(inputs[origin + channel / 4u])[channel % 4u];
    }
    return value;
}

fn unfold_back(item: Item) -> vec4<f32> {
    let p = places;
    var value = vec4<f32>(0.0);
    for (var lane = 0u; lane < 4u; lane++) {
        let channel = item.block * 4u + lane;
        let part = channel / p.channels;
        if part < 4u {
            let y = 2u * item.y + part / 2u;
            let x = 2u * item.x + part % 2u;
            let origin = ((item.picture * p.from_height + y) * p.from_width + x) * p.from_pixel + p.from_first;
            value[lane] = vec4<f32>(inputs[origin])[channel % p.channels];
        }
    }
    return value;
}

// The gradient of a Gram matrix's, which is symmetric and has every product twice: `inputs` is that in the matrix.
fn gram_back(item: Item) -> vec4<f32> {
    let p = places;
    let origin = ((item.picture * p.to_height + item.y) * p.to_width + item.x) * p.other_pixel + p.other_first;
    var sum = vec4<f32>(0.0);
    for (var channel = 0u; channel < p.from_height; channel += 4u) {
        let values = vec4<f32>(others[origin + channel / 4u]);
        for (var lane = 0u; lane < 4u; lane++) {
            // Lanes without a channel are zero, and need no row.
            let row = min(channel + lane, p.from_height - 1u);
            sum = fma(vec4<f32>(values[lane]), fetch(item, row, 0u), sum);
        }
    }
    return sum * (2.0 / f32(p.from_height * p.to_height * p.to_width));
}

fn add(item: Item) -> vec4<f32> {
    return fetch(item, item.y, item.x) + other(item, item.y, item.x);
}

fn add_back(item: Item) -> vec4<f32> {
    return fetch(item, item.y, item.x);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let item = item_of(group, thread);
    if item.inside {
        let p = places;
        let to = ((item.picture * p.to_height + item.y) * p.to_width + item.x) * p.to_pixel + p.to_first + item.block;
        store(to, made(item), p.finish);
    }
}
