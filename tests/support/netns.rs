//! Network namespaces with packet filters: a test runs itself again inside one, so that peers, daemon and scrapes are
//! all there and the host's network is never touched.
//!
//! Two namespaces are joined by a cable: the `here` one, where the test runs, and the `there` one, where the filter is.

use std::process::Command;

use super::process::Process;
use super::programs;

/// The address of the namespace the test runs in.
pub const HERE: &str = "10.77.0.1";
/// The address at the other end of the cable.
pub const THERE: &str = "10.77.0.2";
/// An address that lies behind the other end.
pub const BEYOND: &str = "192.0.2.1";

/// Set for the test inside.
const INSIDE: &str = "BADGATEWAY_TEST_NAMESPACE";

/// The name of the namespace at the other end, for the test inside.
const OTHER_END: &str = "BADGATEWAY_TEST_OTHER_NAMESPACE";

/// A pair of namespaces. Dropping it removes both, and with them the cable.
struct Namespaces {
    here: String,
    there: String,
}

/// Runs `body` inside a fresh namespace prepared by `here` and `there`, one command per line (`ip …`, `nft …`).
/// `test` is the path of the calling test within its binary. Without the rights or the programs it is skipped.
pub fn inside(test: &str, here: &str, there: &str, body: impl FnOnce()) {
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        return body();
    }
    if !programs::have(&["ip", "nft"]) || !may_create() {
        return;
    }
    let namespaces = Namespaces::create(test);
    namespaces.prepare(&namespaces.here, here);
    namespaces.prepare(&namespaces.there, there);
    let this = std::env::current_exe().expect("this very test").display().to_string();
    let (variable, other) = (format!("{INSIDE}={test}"), format!("{OTHER_END}={}", namespaces.there));
    let arguments = [
        "netns",
        "exec",
        &namespaces.here,
        "env",
        &variable,
        &other,
        &this,
        "--exact",
        test,
        "--nocapture",
    ];
    let inner = Process::start(&programs::find("ip").expect("have it"), &arguments);
    let result = inner.wait_for("the result inside the namespace", |line| {
        line.strip_prefix("test result: ").map(ToOwned::to_owned)
    });
    assert!(
        result.starts_with("ok. 1 passed"),
        "inside the namespace: {result}\n{}",
        inner.output("", 60)
    );
}

/// What to write before a command to have it run in the namespace at the other end. For the test inside.
pub fn at_the_other_end() -> [String; 4] {
    let other = std::env::var(OTHER_END).expect("the test runs inside");
    let ip = programs::find("ip").expect("have it").display().to_string();
    [ip, "netns".to_owned(), "exec".to_owned(), other]
}

/// Runs a shell command in the namespace the test runs in. For the test inside.
pub fn here(command: &str) {
    shell(&[], command);
}

/// Runs a shell command in the namespace at the other end. For the test inside.
pub fn there(command: &str) {
    shell(&at_the_other_end(), command);
}

fn shell(before: &[String], command: &str) {
    assert!(std::env::var_os(INSIDE).is_some(), "never outside");
    let words: Vec<&str> = before.iter().map(String::as_str).chain(["sh", "-c", command]).collect();
    let output = Command::new(words[0]).args(&words[1..]).output().expect("it starts");
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn may_create() -> bool {
    let name = format!("bg-may-{}", std::process::id());
    // Tests of one binary ask this side by side.
    static ANSWER: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *ANSWER.get_or_init(|| {
        let created = ip(&["netns", "add", &name])
            .output()
            .is_ok_and(|output| output.status.success());
        if created {
            let _ = ip(&["netns", "del", &name]).output();
        }
        created || programs::skip("network namespaces need root")
    })
}

fn ip(arguments: &[&str]) -> Command {
    let mut command = Command::new(programs::find("ip").expect("have it"));
    command.args(arguments);
    command
}

impl Namespaces {
    fn create(test: &str) -> Namespaces {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("bg-{}-{number}", std::process::id());
        let pair = Namespaces {
            here: format!("{name}-h"),
            there: format!("{name}-t"),
        };
        for namespace in [&pair.here, &pair.there] {
            run(test, &["netns", "add", namespace]);
        }
        // Created inside, so that the host never sees the cable and names need not be unique.
        let cable = [
            "link",
            "add",
            "cable",
            "type",
            "veth",
            "peer",
            "name",
            "cable",
            "netns",
            &pair.there,
        ];
        run(test, &[&["-n", &pair.here][..], &cable].concat());
        for (namespace, address) in [(&pair.here, HERE), (&pair.there, THERE)] {
            run(
                test,
                &[
                    "-n",
                    namespace,
                    "address",
                    "add",
                    &format!("{address}/24"),
                    "dev",
                    "cable",
                ],
            );
            run(test, &["-n", namespace, "link", "set", "lo", "up"]);
            run(test, &["-n", namespace, "link", "set", "cable", "up"]);
        }
        // Answers of a filter or router are limited to about one per second, and the next probe would look dropped.
        for namespace in [&pair.here, &pair.there] {
            pair.prepare(namespace, "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit");
        }
        pair
    }

    fn prepare(&self, namespace: &str, commands: &str) {
        for line in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let output = ip(&["netns", "exec", namespace, "sh", "-c", line])
                .output()
                .expect("ip starts");
            assert!(
                output.status.success(),
                "{line}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in [&self.here, &self.there] {
            let _ = ip(&["netns", "del", namespace]).output();
        }
    }
}

fn run(test: &str, arguments: &[&str]) {
    let output = ip(arguments).output().expect("ip starts");
    assert!(
        output.status.success(),
        "{test}: ip {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
