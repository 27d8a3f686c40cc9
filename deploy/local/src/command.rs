//! Helper programs that run to their end (psql, initdb, Maven). Invariant: none outlives its deadline.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{Error, LogTail, Result, wait::poll};

/// Runs a program to its end and returns what it printed on stdout; a failure quotes its last lines.
pub fn run(command: &mut Command, input: &str, deadline: Duration) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io(format!("run {program}")))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // Pipes are served by threads, or a chatty program would block on a full one and look slow.
    let input = input.to_owned();
    let writer = thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
    let out = thread::spawn(move || drain(stdout));
    let err = thread::spawn(move || drain(stderr));

    let ended = poll(deadline, || child.try_wait().transpose());
    if ended.is_none() {
        drop(child.kill());
        drop(child.wait());
    }
    // A program may close its stdin early; only its status decides.
    drop(writer.join());
    let out = out.join().unwrap_or_default();
    let tail = || LogTail::of_text(&format!("{out}\n{}", err.join().unwrap_or_default()));
    match ended {
        None => Err(Error::TooSlow { program, waited: deadline, tail: tail() }),
        Some(Err(error)) => Err(Error::io(format!("wait for {program}"))(error)),
        Some(Ok(status)) if status.success() => Ok(out),
        Some(Ok(status)) => Err(Error::Failed { program, status: status.to_string(), tail: tail() }),
    }
}

fn drain(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        drop(pipe.read_to_end(&mut bytes));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_stdout_and_feeds_stdin() {
        let out = run(&mut Command::new("cat"), "hello", Duration::from_secs(5)).expect("cat");
        assert_eq!(out, "hello");
    }

    #[test]
    fn a_failure_quotes_stderr() {
        let error = run(Command::new("sh").args(["-c", "echo broken >&2; exit 3"]), "", Duration::from_secs(5));
        assert!(error.expect_err("fails").to_string().contains("broken"));
    }

    #[test]
    fn a_slow_program_is_killed() {
        let error = run(Command::new("sleep").arg("60"), "", Duration::from_millis(20));
        assert!(matches!(error, Err(Error::TooSlow { .. })));
    }
}
