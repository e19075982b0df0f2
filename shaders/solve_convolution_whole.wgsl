// Where a tile's sums are complete.
fn deliver(part: u32, index: u32, to: u32, block: u32, value: vec4<f32>) {
    finish_at(to, block, value);
}
