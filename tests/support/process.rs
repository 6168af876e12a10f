//! A child process that never outlives its test, however the test ends, and whose output can be waited on.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shell is the parent: it ends the program when its standard input closes, which the system does even when the
/// test is killed or a `static` is never dropped. `$1` signal, `$2` a directory to remove afterwards, or nothing.
const KEEPER: &str = r#"
trap '' INT
signal=$1 scratch=$2
shift 2
"$@" </dev/null >&2 &
child=$!
echo "$child"
exec >/dev/null 2>&1
read -r _
kill -s "$signal" "$child"
wait "$child"
if [ -n "$scratch" ]; then rm -rf -- "$scratch"; fi
"#;

/// What the program wrote so far, standard output and error together.
#[derive(Default)]
struct Output {
    lines: Vec<String>,
    ended: bool,
}

/// A running program. Dropping it ends the program and waits for that.
pub struct Process {
    keeper: Child,
    pid: u32,
    output: Arc<(Mutex<Output>, Condvar)>,
}

impl Process {
    /// Starts a program that is killed in the end.
    pub fn start<S: AsRef<str>>(program: &Path, arguments: &[S]) -> Process {
        Process::start_with(program, arguments, "KILL", None)
    }

    /// Starts a program that is ended by `signal`; then the directory `scratch` goes.
    pub fn start_with<S: AsRef<str>>(program: &Path, arguments: &[S], signal: &str, scratch: Option<&Path>) -> Process {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", signal])
            .arg(scratch.unwrap_or(Path::new("")))
            .arg(program)
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut pid = String::new();
        BufReader::new(keeper.stdout.take().expect("piped"))
            .read_line(&mut pid)
            .expect("the keeper says the id");
        let output = Arc::new((Mutex::new(Output::default()), Condvar::new()));
        let errors = BufReader::new(keeper.stderr.take().expect("piped"));
        let shared = output.clone();
        std::thread::spawn(move || {
            for line in errors.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                shared.0.lock().unwrap_or_else(PoisonError::into_inner).lines.push(line);
                shared.1.notify_all();
            }
            shared.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            shared.1.notify_all();
        });
        Process {
            keeper,
            pid: pid.trim().parse().expect("a process id"),
            output,
        }
    }

    /// The program's own process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until a line of output says what `find` looks for. Panics with the output when the program ends first.
    pub fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        let (output, changed) = &*self.output;
        let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = 0;
        loop {
            if let Some(found) = output.lines[seen..].iter().find_map(|line| find(line)) {
                return found;
            }
            seen = output.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if output.ended || left.is_zero() {
                panic!(
                    "never saw {what}; ended: {}; output:\n{}",
                    output.ended,
                    output.lines.join("\n")
                );
            }
            output = changed
                .wait_timeout(output, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// True once the program has closed its output, which it does by ending.
    pub fn ended(&self) -> bool {
        self.output.0.lock().unwrap_or_else(PoisonError::into_inner).ended
    }

    /// The last lines of output that hold `word`; all lines hold the empty one.
    pub fn output(&self, word: &str, at_most: usize) -> String {
        let output = self.output.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = output
            .lines
            .iter()
            .map(String::as_str)
            .filter(|line| line.contains(word))
            .collect();
        lines[lines.len().saturating_sub(at_most)..].join("\n")
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -s {signal} {}", self.pid)])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "signal {signal}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing to do about a keeper that is gone already.
        let _ = self.keeper.wait();
    }
}
