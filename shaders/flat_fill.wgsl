// A large area of one colour. A software driver runs egui's own shader, which samples a texture and dithers, on every
// pixel of a panel's background; this one only stores.

// In the space of the target, opaque.
@group(0) @binding(0) var<uniform> colour: vec4<f32>;

// One triangle that covers the viewport, which is the area.
@vertex
fn vertex(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    let x = f32((index << 1u) & 2u);
    let y = f32(index & 2u);
    return vec4<f32>(2.0 * x - 1.0, 1.0 - 2.0 * y, 0.0, 1.0);
}

@fragment
fn fragment() -> @location(0) vec4<f32> {
    return colour;
}
