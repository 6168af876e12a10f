//! Lines as nginx writes them: the access log in the format that says most, and the error log.

use std::fmt::Write;

/// How a request goes.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// Well.
    Served,
    /// Well, after 55 s.
    Slow,
    /// Well, with a head of 3,800 bytes.
    LargeHead,
    /// Well at the second backend; the first one refused.
    Retried,
    /// With this status, for the reason that the error log gives.
    Failed { status: u16, line: &'static str },
    /// With a status that the origin itself gave.
    Origins(u16),
    /// Its client left before the answer.
    Left,
    /// Well, and asked by a health checker.
    HealthCheck,
}

/// What the two logs get.
#[derive(Debug, Default)]
pub struct Lines {
    pub access: String,
    pub error: String,
}

const BACKEND: &str = "127.0.0.1:8080";
const REFUSING: &str = "127.0.0.1:8081";

impl Lines {
    /// A request with a number of its own, which ends now.
    pub fn add(&mut self, request: Request, id: usize) {
        let path = format!("/api/orders/{id}");
        let attempts = match request {
            Request::Served | Request::HealthCheck => attempts(BACKEND, "200", "0.012", "700"),
            Request::Slow => attempts(BACKEND, "200", "55.001", "700"),
            Request::LargeHead => attempts(BACKEND, "200", "0.012", "4300"),
            Request::Origins(status) => attempts(BACKEND, &status.to_string(), "0.012", "700"),
            Request::Left => attempts(BACKEND, "-", "-", "0"),
            Request::Retried => {
                let line = "connect() failed (111: Connection refused) while connecting to upstream";
                self.complain(line, &path, REFUSING);
                format!(
                    "ua=\"{REFUSING}, {BACKEND}\" us=\"502, 200\" ut=\"0.000, 0.012\" uc=\"-, 0.001\" uh=\"-, 0.011\" ub=\"0, 700\" ul=\"0, 500\""
                )
            }
            Request::Failed { status, line } => {
                self.complain(line, &path, BACKEND);
                attempts(BACKEND, &status.to_string(), "-", "0")
            }
        };
        let status = match request {
            Request::Served | Request::Slow | Request::LargeHead | Request::Retried | Request::HealthCheck => 200,
            Request::Left => 499,
            Request::Failed { status, .. } | Request::Origins(status) => status,
        };
        let agent = match request {
            Request::HealthCheck => "ELB-HealthChecker/2.0",
            _ => "Mozilla/5.0",
        };
        let time = Time::now();
        let _ = writeln!(
            self.access,
            "192.0.2.7 - - [{}/{}/{}:{} +0000] \"GET {path} HTTP/1.1\" {status} 157 \"-\" \"{agent}\" {attempts} \
             rt=0.012 id={id:032x} done=\"OK\" host=\"shop.example\" up=\"app\"",
            time.day, time.month, time.year, time.clock
        );
    }

    /// A line of a format that nobody configured.
    pub fn foreign(&mut self, number: usize) {
        let _ = writeln!(self.access, "<request {number}> went out at {}", Time::now().clock);
    }

    fn complain(&mut self, line: &str, path: &str, backend: &str) {
        let time = Time::now();
        let _ = writeln!(
            self.error,
            "{}/{:02}/{} {} [error] 14#14: *70 {line}, client: 192.0.2.7, server: shop.example, request: \"GET {path} HTTP/1.1\", \
             upstream: \"http://{backend}{path}\", host: \"shop.example\"",
            time.year,
            time.number(),
            time.day,
            time.clock
        );
    }
}

/// One attempt; `-` stands for a head that never came.
fn attempts(backend: &str, status: &str, head: &str, bytes: &str) -> String {
    let (connect, length) = if head == "-" { ("-", "0") } else { ("0.001", "500") };
    format!(
        "ua=\"{backend}\" us=\"{status}\" ut=\"0.012\" uc=\"{connect}\" uh=\"{head}\" ub=\"{bytes}\" ul=\"{length}\""
    )
}

/// Now, in the parts that a line has.
struct Time {
    day: String,
    month: String,
    year: String,
    clock: String,
}

impl Time {
    fn now() -> Time {
        // Fri, 20 Nov 2026 10:57:01 GMT
        let text = httpdate::fmt_http_date(badgateway::clock::now());
        let part = |number: usize| text.split(' ').nth(number).expect("a part").to_owned();
        Time {
            day: part(1),
            month: part(2),
            year: part(3),
            clock: part(4),
        }
    }

    fn number(&self) -> usize {
        let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
        months.find(&self.month).expect("a month") / 3 + 1
    }
}
