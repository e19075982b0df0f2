//! What the kernels need of the plans.

#[path = "../../src/plan/cpu/mod.rs"]
pub mod cpu;
#[path = "../../src/plan/graph.rs"]
pub mod graph;
#[path = "../../src/plan/layout.rs"]
pub mod layout;
