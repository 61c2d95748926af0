//! What a run says of itself: the [`RunResult`] with everything in it, its summary for people, and the live
//! view while it runs.

mod command;
#[cfg(test)]
mod example;
mod figures;
mod live;
mod numbers;
mod progress;
mod result;
mod summary;
mod timeline;

pub use command::reproduce;
#[cfg(test)]
pub(crate) use example::example;
pub use figures::{COUNTS, Figure, Metric, Unit, metrics};
pub use live::{Live, LiveMode};
pub use numbers::{bytes, count, duration_ms, rate, share};
pub use progress::{Phase, Progress};
pub use result::{Ended, Exit, Latency, Machine, RESULT_FORMAT, RunResult, Sockets, Tool, WorkerUse};
pub use summary::Summary;
pub use timeline::{Point, Sample};
