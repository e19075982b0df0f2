//! What the kernels need of the plans.

#[path = "../../src/plan/cpu/mod.rs"]
pub mod cpu;
#[path = "../../src/plan/layout.rs"]
pub mod layout;

/// As in the program, without tensors.
pub mod graph {
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct MapShape {
        pub groups: Vec<usize>,
        pub height: usize,
        pub width: usize,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Resample {
        AveragePool,
        MaxPool,
        Bilinear,
        Unfold,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Compare {
        L1,
        L2,
    }
}
