// Where a tile has only a share of the sums: they go to `outputs` as they are, [split][phase][pixel][block], and another
// kernel adds them up.
fn deliver(part: u32, index: u32, to: u32, block: u32, value: vec4<f32>) {
    outputs[(part * geometry.pixels + index) * geometry.out_blocks + block] = value;
}
