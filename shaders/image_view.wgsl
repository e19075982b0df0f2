// An image view: one picture, the difference of two, or two compared across a movable divider.
// One pipeline for each mode, because a software driver computes both sides of every branch. `src/gpu/software.rs` is
// the same arithmetic for windows without a GPU, and a test holds the two together.

// 0: a alone, 1: signed difference, 2: heat of the difference, 3: a left of the divider, b right of it.
override MODE: u32 = 0u;
// Whether pictures may be larger than they are shown: for a software driver the loop below costs something even when it
// runs once.
override SHRINKS: bool = true;

// Samples along an axis of a screen pixel.
const MOST_SAMPLES: f32 = 16.0;

struct View {
    // Left, top, width and height of the view on the screen, in pixels.
    rectangle: vec4<f32>,
    // Colours of the difference map, in gamma space: b below a, equal, b above a.
    negative: vec4<f32>,
    neutral: vec4<f32>,
    positive: vec4<f32>,
    divider: vec4<f32>,
    // 0: visible pixels with clean edges, 1: smooth.
    smooth_pixels: f32,
    // What a difference is multiplied with.
    gain: f32,
    // Where the divider is, from 0 at the left to 1 at the right.
    split: f32,
    // Radius of the corners, in pixels.
    radius: f32,
    // Half the width of the divider, in pixels.
    divider_half: f32,
    padding_0: f32,
    padding_1: f32,
    padding_2: f32,
}

@group(0) @binding(0) var<uniform> view: View;
@group(0) @binding(1) var picture_a: texture_2d<f32>;
@group(0) @binding(2) var picture_b: texture_2d<f32>;
@group(0) @binding(3) var bilinear: sampler;

// One triangle that covers the viewport, which is the view's rectangle.
@vertex
fn vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let x = f32((index << 1u) & 2u);
    let y = f32(index & 2u);
    return vec4<f32>(2.0 * x - 1.0, 1.0 - 2.0 * y, 0.0, 1.0);
}

// The picture at `uv` in [0, 1]: bilinear between texel centres, where visible pixels narrow the blend to one screen
// pixel at their edges.
fn sample_at(picture: texture_2d<f32>, uv: vec2<f32>, size: vec2<f32>) -> vec3<f32> {
    let at = uv * size - 0.5;
    let base = floor(at);
    let pixels_per_texel = select(max(view.rectangle.zw / size, vec2<f32>(1.0)), vec2<f32>(1.0), view.smooth_pixels > 0.5);
    let between = clamp((at - base - 0.5) * pixels_per_texel + 0.5, vec2<f32>(0.0), vec2<f32>(1.0));
    return textureSampleLevel(picture, bilinear, (base + between + 0.5) / size, 0.0).rgb;
}

// The picture at `uv`; where it has several texels for a screen pixel, the mean of samples all over that, two texels
// apart at most, so that nothing is skipped.
fn sample_picture(picture: texture_2d<f32>, uv: vec2<f32>) -> vec3<f32> {
    let size = vec2<f32>(textureDimensions(picture));
    if !SHRINKS {
        return sample_at(picture, uv, size);
    }
    let counts = clamp(ceil(size / (2.0 * view.rectangle.zw) - 0.05), vec2<f32>(1.0), vec2<f32>(MOST_SAMPLES));
    var sum = vec3<f32>(0.0);
    for (var y = 0.0; y < counts.y; y += 1.0) {
        for (var x = 0.0; x < counts.x; x += 1.0) {
            let within = (vec2<f32>(x, y) + 0.5) / counts - 0.5;
            sum += sample_at(picture, uv + within / view.rectangle.zw, size);
        }
    }
    return sum / (counts.x * counts.y);
}

// Rec. 601 luma, as the program makes grey of colour.
fn luma(colour: vec3<f32>) -> f32 {
    return dot(colour, vec3<f32>(0.299, 0.587, 0.114));
}

// From black over violet and orange to pale yellow, as perceived brightness grows.
fn heat(value: f32) -> vec3<f32> {
    let v = clamp(value, 0.0, 1.0) * 4.0;
    let c0 = vec3<f32>(0.0, 0.0, 0.016);
    let c1 = vec3<f32>(0.341, 0.063, 0.431);
    let c2 = vec3<f32>(0.737, 0.216, 0.329);
    let c3 = vec3<f32>(0.976, 0.557, 0.035);
    let c4 = vec3<f32>(0.988, 1.0, 0.643);
    var colour = mix(c0, c1, clamp(v, 0.0, 1.0));
    colour = mix(colour, c2, clamp(v - 1.0, 0.0, 1.0));
    colour = mix(colour, c3, clamp(v - 2.0, 0.0, 1.0));
    return mix(colour, c4, clamp(v - 3.0, 0.0, 1.0));
}

// How much of a screen pixel lies inside the rounded rectangle, from 0 to 1; `at` in pixels from its top left corner.
fn coverage(at: vec2<f32>) -> f32 {
    let half_size = view.rectangle.zw * 0.5;
    let corner = abs(at - half_size) - half_size + vec2<f32>(view.radius);
    let distance = length(max(corner, vec2<f32>(0.0))) + min(max(corner.x, corner.y), 0.0) - view.radius;
    return clamp(0.5 - distance, 0.0, 1.0);
}

// The colour of a screen pixel in gamma space, not multiplied with its coverage.
fn shade(at: vec2<f32>) -> vec3<f32> {
    let uv = at / view.rectangle.zw;
    let a = sample_picture(picture_a, uv);
    if MODE == 0u {
        return a;
    }
    let b = sample_picture(picture_b, uv);
    if MODE == 1u {
        let difference = clamp((luma(b) - luma(a)) * view.gain, -1.0, 1.0);
        let towards = select(view.negative.rgb, view.positive.rgb, difference > 0.0);
        return mix(view.neutral.rgb, towards, abs(difference));
    }
    if MODE == 2u {
        let difference = abs(b - a);
        return heat((difference.r + difference.g + difference.b) / 3.0 * view.gain);
    }
    let divider_at = view.split * view.rectangle.z;
    let beside = select(b, a, at.x < divider_at);
    let on_divider = clamp(view.divider_half + 0.5 - abs(at.x - divider_at), 0.0, 1.0);
    return mix(beside, view.divider.rgb, on_divider * view.divider.a);
}

@fragment
fn fragment_gamma(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let at = position.xy - view.rectangle.xy;
    let covered = coverage(at);
    return vec4<f32>(shade(at) * covered, covered);
}

// For a window whose surface turns linear light into gamma space by itself.
@fragment
fn fragment_linear(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let at = position.xy - view.rectangle.xy;
    let covered = coverage(at);
    let colour = shade(at);
    let low = colour / 12.92;
    let high = pow((colour + 0.055) / 1.055, vec3<f32>(2.4));
    return vec4<f32>(select(high, low, colour < vec3<f32>(0.04045)) * covered, covered);
}
