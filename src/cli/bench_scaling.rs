//! `counterpart bench scaling`: what a step of solving costs for each candidate, by threads, candidates and image size.

use super::bench::{full_networks, median_of, normal};
use super::options::Json;
use super::output;
use crate::nam::{SolveSettings, Solver};
use crate::ops::threads;
use crate::{Result, nam::Networks};
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// The sizes that generators and mappings have.
const SIZES: [usize; 3] = [32, 64, 128];

/// 1, 2, 4, ... up to `most`, which is there as well.
fn doublings(most: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        std::iter::successors(Some(1), |count| Some(2 * count)).take_while(|&n| n < most).collect();
    counts.push(most);
    counts
}

/// Times steps of up to `batch` candidates on up to `most_threads` threads (all cores without it) and prints a table.
///
/// # Errors
/// When the computation fails or the report cannot be written.
pub(super) fn run(batch: usize, iterations: usize, most_threads: Option<u16>, json: &Json) -> Result<()> {
    let all_threads = doublings(most_threads.map_or_else(threads::available, usize::from));
    let batches = doublings(batch);
    let mut rows = Vec::new();
    if json.json.is_none() {
        let threads: String = all_threads.iter().map(|count| format!(" {count} thr. |")).collect();
        output::line("Milliseconds a candidate for one step of solving (student of three levels), by threads:")?;
        output::line(&format!("| size | candidates |{threads}"))?;
        output::line(&format!("|---:|---:|{}", "---:|".repeat(all_threads.len())))?;
    }
    for size in SIZES {
        let networks: Arc<dyn Networks + Send + Sync> = Arc::new(full_networks(size, &Device::Cpu)?);
        let latent = networks.generator().config().latent;
        for &count in &batches {
            let y = normal(3 * size * size, 1).into_iter().map(|value| (value * 0.4).clamp(-1.0, 1.0)).collect();
            let y = Tensor::from_vec::<_, f32>(y, (1, 3, size, size), &Device::Cpu)?;
            let codes = Tensor::from_vec(normal(count * latent, 2), (count, latent), &Device::Cpu)?;
            let mut line = format!("| {size} | {count} |");
            for &threads in &all_threads {
                threads::set(threads);
                let mut solver = Solver::new(networks.clone(), &y, codes.clone(), SolveSettings::default())?;
                let step = median_of(iterations, || solver.step().map(drop))?;
                let each = step * 1e3 / count as f64;
                line += &format!(" {each:.2} |");
                rows.push(serde_json::json!({
                    "size": size,
                    "candidates": count,
                    "threads": threads,
                    "step_s": step,
                    "ms_a_candidate": each,
                }));
            }
            if json.json.is_none() {
                output::line(&line)?;
            }
        }
    }
    json.write(&serde_json::json!({
        "engine": concat!("counterpart ", env!("CARGO_PKG_VERSION")),
        "iterations": iterations,
        "scaling": rows,
    }))
}

#[cfg(test)]
mod tests {
    use super::doublings;

    #[test]
    fn counts_double_up_to_the_last() {
        assert_eq!(doublings(1), [1]);
        assert_eq!(doublings(2), [1, 2]);
        assert_eq!(doublings(6), [1, 2, 4, 6]);
        assert_eq!(doublings(64).len(), 7);
    }
}
