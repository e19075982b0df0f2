//! `counterpart bench ui`: the window measured by itself, on the display that is there.

use super::options::Json;
use crate::Result;
use crate::app::{self, Figures};
use std::time::Duration;

/// Opens the window, watches it at rest and while it refines `starts` starts for some seconds, and reports.
pub(super) fn run(starts: usize, seconds: u16, threads: Option<u16>, json: &Json) -> Result<()> {
    let figures = app::measure(threads.map(usize::from), starts, Duration::from_secs(seconds.into()))?;
    json.write(&serde_json::json!({ "case": "ui", "figures": figures }))?;
    json.say(&summary(&figures))
}

fn summary(figures: &Figures) -> String {
    let ms = |value: Option<f64>| value.map_or_else(|| "unknown".into(), |value| format!("{value:.0} ms"));
    let mb = |value: Option<f64>| value.map_or_else(|| "unknown".into(), |value| format!("{value:.0} MB"));
    let spread = |[median, most, longest]: [f64; 3]| format!("{median:.1} / {most:.1} / {longest:.1} ms");
    let (rest, refining) = (&figures.rest, &figures.refining);
    let share = rest.processor_share.map_or_else(|| "unknown".into(), |share| format!("{:.1} %", share * 100.0));
    [
        format!("drawn by            {}", figures.renderer),
        format!("first frame         {} after the start", ms(figures.first_frame)),
        format!("first samples       {} after the start", ms(figures.first_samples)),
        format!(
            "at rest             {} frames in {:.0} s, {share} of a core, {}",
            rest.frames,
            rest.seconds,
            mb(rest.memory)
        ),
        format!(
            "refining {:2} starts  {:.1} steps a second beside {} frames, {} at most",
            figures.starts,
            refining.steps_per_second,
            refining.frames,
            mb(refining.memory)
        ),
        "one frame           median / 95 % / longest".into(),
        format!("  processor time    {}", spread(refining.processor)),
        format!("  work              {}", spread(refining.work)),
        format!("  from one to next  {}", spread(refining.interval)),
    ]
    .join("\n")
}
