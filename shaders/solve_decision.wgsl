// What a row does with its code before the next step, as the losses of the step before have decided.

struct Decision {
    // KEEP: the code is the best so far; RESTORE: it becomes the best so far; ADAM: it moves along its gradient.
    what: u32,
    // Adam's step size, by the bias of its first mean; and the root of the bias of its second.
    rate: f32,
    root: f32,
    padding: f32,
}

const KEEP: u32 = 1u;
const RESTORE: u32 = 2u;
const ADAM: u32 = 4u;

