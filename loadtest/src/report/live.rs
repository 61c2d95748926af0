//! The live view: a block of lines with progress bars that is drawn anew in a terminal, plain lines elsewhere.

use std::io::{self, Write};

use super::numbers::{count, duration_ms, rate, share};
use super::progress::{Phase, Progress};

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveMode {
    /// A block that is drawn over itself.
    Terminal,
    /// A line for each look: for files and pipes.
    Lines,
    /// Nothing.
    Silent,
}

/// Shows the progress of a run.
#[derive(Debug)]
pub struct Live<W> {
    out: W,
    mode: LiveMode,
    /// Phases that are over, as they ended.
    over: Vec<Progress>,
    now: Option<Progress>,
    /// Lines of the block that is on the screen.
    drawn: usize,
}

impl<W: Write> Live<W> {
    /// A view of a run called `title`.
    pub fn new(mut out: W, mode: LiveMode, title: &str) -> io::Result<Self> {
        if mode != LiveMode::Silent {
            writeln!(out, "{title}")?;
            out.flush()?;
        }
        Ok(Self { out, mode, over: Vec::new(), now: None, drawn: 0 })
    }

    /// Shows how far it is.
    pub fn show(&mut self, progress: Progress) -> io::Result<()> {
        if let Some(before) = self.now.replace(progress).filter(|before| before.phase != progress.phase) {
            self.over.push(before);
        }
        match self.mode {
            LiveMode::Terminal => self.draw(),
            LiveMode::Lines => {
                writeln!(self.out, "{}", plain(&progress))?;
                self.out.flush()
            }
            LiveMode::Silent => Ok(()),
        }
    }

    /// The run is over: leaves the screen to what follows.
    pub fn finish(mut self) -> io::Result<()> {
        if self.mode != LiveMode::Silent {
            writeln!(self.out)?;
        }
        self.out.flush()
    }

    /// Draws the block over the one before.
    fn draw(&mut self) -> io::Result<()> {
        let Some(now) = &self.now else { return Ok(()) };
        let bars = self.over.iter().map(|over| bar(&finished(over))).chain([bar(now)]);
        let lines: Vec<String> = bars.chain(figures(now)).collect();
        // A line that is too long for the terminal is cut, not wrapped: the block keeps its height.
        let mut block = String::from("\x1b[?7l");
        if self.drawn > 0 {
            // Back to the block's first line.
            block.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for line in &lines {
            // Each line takes what was on it away.
            block.push_str("\r\x1b[2K");
            block.push_str(line);
            block.push('\n');
        }
        block.push_str("\x1b[?7h");
        self.drawn = lines.len();
        self.out.write_all(block.as_bytes())?;
        self.out.flush()
    }
}

/// A phase that is over was done as far as it went.
fn finished(over: &Progress) -> Progress {
    let of = if over.of == 0 { over.done } else { over.of };
    let done = if matches!(over.phase, Phase::Settling) { of } else { over.done };
    Progress { done, of, ..*over }
}

fn bar(progress: &Progress) -> String {
    let Progress { phase, done, of, .. } = *progress;
    let part = if of == 0 { 0.0 } else { (done as f64 / of as f64).min(1.0) };
    let eighths = (part * (BAR_CELLS * 8) as f64).floor() as usize;
    let mut cells = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        cells.push(PARTS[eighths % 8 - 1]);
    }
    let empty = "·".repeat(BAR_CELLS - cells.chars().count());
    let known = if of == 0 { String::new() } else { format!(" of {}", count(of)) };
    format!(
        "{:<9} {cells}{empty} {:>4.0} %  {}{known} {}",
        phase.name(),
        part * 100.0,
        count(done),
        phase.unit()
    )
}

/// Below 80 columns each, as long as numbers are of the usual size.
fn figures(progress: &Progress) -> [String; 3] {
    let work = format!(
        "{} sockets   sent {} ({})   delivered {} ({})",
        count(progress.sockets),
        count(progress.sends),
        rate(progress.sends_per_s),
        count(progress.deliveries),
        rate(progress.deliveries_per_s)
    );
    let waiting = match progress.outstanding {
        0 => String::new(),
        outstanding => format!("   outstanding {}", count(outstanding)),
    };
    let outcome = format!(
        "p50 {}  p99 {}   resumed {}   faults {}{waiting}",
        duration_ms(progress.delivered_p50_ms),
        duration_ms(progress.delivered_p99_ms),
        count(progress.resumes),
        count(progress.faults)
    );
    let tool = format!(
        "load tester: {} of a core, late {}",
        share(progress.cpu_share),
        duration_ms(progress.late_p99_ms)
    );
    [work, outcome, tool]
}

fn plain(progress: &Progress) -> String {
    let of = if progress.of == 0 { String::new() } else { format!(" of {}", count(progress.of)) };
    let figures = figures(progress).join("   ");
    format!(
        "{:>7.1} s  {} {}{of} {}   {figures}",
        progress.at_s,
        progress.phase.name(),
        count(progress.done),
        progress.phase.unit()
    )
}

/// The length of a bar.
const BAR_CELLS: usize = 30;
/// One to seven eighths of a cell.
const PARTS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(done: u64) -> Progress {
        Progress { done, of: 1_000, sockets: done, at_s: 2.5, ..Progress::of(Phase::Opening) }
    }

    fn holding() -> Progress {
        Progress {
            done: 12,
            of: 30,
            at_s: 16.0,
            sockets: 1_000,
            sends: 361,
            sends_per_s: 30.1,
            deliveries: 45_120,
            deliveries_per_s: 3_760.0,
            delivered_p50_ms: 2.1,
            delivered_p99_ms: 8.4,
            resumes: 12,
            outstanding: 3,
            cpu_share: 0.34,
            late_p99_ms: 0.4,
            ..Progress::of(Phase::Holding)
        }
    }

    fn shown(mode: LiveMode, all: &[Progress]) -> String {
        let mut out = Vec::new();
        let mut live = Live::new(&mut out, mode, "chat, seed 7").unwrap();
        all.iter().for_each(|progress| live.show(*progress).unwrap());
        live.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    /// What is on a terminal's screen after this was written to it.
    fn screen(written: &str) -> Vec<String> {
        let (mut lines, mut at) = (vec![String::new()], 0);
        let mut rest = written;
        while let Some(c) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\x1b[") {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                match &sequence[end..=end] {
                    "A" => at -= sequence[..end].parse::<usize>().unwrap(),
                    "K" => lines[at].clear(),
                    // Wrapping off and on.
                    "l" | "h" => {}
                    other => panic!("{other}"),
                }
                rest = &sequence[end + 1..];
                continue;
            }
            match c {
                '\n' => {
                    at += 1;
                    lines.resize(lines.len().max(at + 1), String::new());
                }
                '\r' => {}
                c => lines[at].push(c),
            }
            rest = &rest[c.len_utf8()..];
        }
        lines
    }

    #[test]
    fn a_terminal_shows_one_block_with_a_bar_for_each_phase() {
        let written = shown(LiveMode::Terminal, &[opening(250), opening(1_000), holding()]);
        let expected = [
            "chat, seed 7",
            "opening   ██████████████████████████████  100 %  1,000 of 1,000 sockets",
            "holding   ████████████··················   40 %  12 of 30 s",
            "1,000 sockets   sent 361 (30.1/s)   delivered 45,120 (3,760/s)",
            "p50 2.10 ms  p99 8.40 ms   resumed 12   faults 0   outstanding 3",
            "load tester: 34 % of a core, late 400 µs",
            "",
            "",
        ];
        assert_eq!(screen(&written), expected);
    }

    #[test]
    fn a_bar_moves_by_eighths_and_survives_what_is_not_known() {
        assert!(
            bar(&opening(250)).contains(" ███████▌······················   25 %"),
            "{}",
            bar(&opening(250))
        );
        assert!(bar(&opening(2_000)).contains(" 100 %"));
        let unknown = Progress { of: 0, ..opening(5) };
        assert!(bar(&unknown).ends_with("0 %  5 sockets"), "{}", bar(&unknown));
    }

    #[test]
    fn a_file_gets_a_line_for_each_look_without_any_control_character() {
        let written = shown(LiveMode::Lines, &[opening(250), holding()]);
        assert!(!written.contains('\x1b') && !written.contains('\r'));
        let lines: Vec<_> = written.lines().collect();
        assert_eq!(lines.len(), 4, "{written}");
        assert!(
            lines[1].starts_with("    2.5 s  opening 250 of 1,000 sockets   250 sockets"),
            "{}",
            lines[1]
        );
        assert!(lines[2].contains("holding 12 of 30 s   1,000 sockets   sent 361 (30.1/s)"), "{}", lines[2]);
    }

    #[test]
    fn silence_is_silent() {
        assert_eq!(shown(LiveMode::Silent, &[holding()]), "");
    }
}
