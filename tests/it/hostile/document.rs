//! The table as a page of the docs.

use std::fmt::Write;

use super::row::Expected;
use super::sections;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bad-input.md");
const REWRITE: &str = "WEIR_WRITE_DOCS=1 cargo test -p weir --test it the_page_of_bad_input";

const INTRODUCTION: &str = "\
# Bad input and its answers

Every row is a test: it is sent over a raw socket, and the answer must have exactly this status and, in its
`application/problem+json`, exactly this `code` (`tests/it/hostile`). This page is printed from those rows; rewrite it with
";

fn page() -> String {
    let mut page = format!("{INTRODUCTION}`{REWRITE}`.\n");
    let mut rows = 0;
    for section in sections() {
        let (title, about) = (section.title, section.about);
        write!(page, "\n## {title}\n\n{about}\n\n| sent | status | code |\n|---|---|---|\n").expect("text");
        for row in section.rows {
            rows += 1;
            let (status, code) = match row.expected {
                Expected::Answer(status, code) | Expected::AtOnce(status, code) => {
                    (status.to_string(), format!("`{code}`"))
                }
                Expected::Fault(status, code, "", rule) => (status.to_string(), format!("`{code}`: `{rule}`")),
                Expected::Fault(status, code, at, rule) => (status.to_string(), format!("`{code}`: `{at}` `{rule}`")),
                Expected::Closed => ("–".to_owned(), "connection closed".to_owned()),
            };
            let at_once = if matches!(row.expected, Expected::AtOnce(..)) { ", at once" } else { "" };
            writeln!(page, "| {} | {status}{at_once} | {code} |", row.sent.replace('|', "\\|")).expect("text");
        }
    }
    writeln!(page, "\n{rows} rows.").expect("text");
    page
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the one switch of this test, which has no configuration")]
fn the_page_of_bad_input_is_what_the_rows_say() {
    let page = page();
    if std::env::var("WEIR_WRITE_DOCS").is_ok() {
        std::fs::write(PATH, &page).expect("docs/bad-input.md");
    }
    let committed = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(committed == page, "docs/bad-input.md differs from the rows; run `{REWRITE}`");
}
