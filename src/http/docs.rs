//! The document for people: Swagger UI from this binary alone. Invariant: the page loads nothing from elsewhere, and its policy
//! would not let it.

use poem::http::{HeaderValue, header};
use poem::{Response, Route};

use super::openapi::{document_json, service};
use super::routes::{Methods, plain};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Weir API</title>\n\
<link rel=\"stylesheet\" href=\"/docs/swagger-ui.css\">\n</head>\n<body>\n<div id=\"ui\"></div>\n\
<script src=\"/docs/swagger-ui.js\"></script>\n<script src=\"/docs/start.js\"></script>\n</body>\n</html>\n";

const START: &str = "SwaggerUIBundle({dom_id: '#ui', url: '/openapi.json', deepLinking: true});\n";

/// `/docs` and `/openapi.json`.
pub(super) fn add_to(route: Route) -> Route {
    let page = service().swagger_ui_html();
    // poem-openapi embeds the bundle but hands it out only inside its own page.
    let style = between(&page, "<style charset=\"UTF-8\">", "</style>").to_owned();
    let script = between(&page, "<script charset=\"UTF-8\">", "</script>").to_owned();
    route
        .at("/openapi.json", file("getDocument", "application/json", document_json()))
        .at("/docs", file("getDocs", "text/html; charset=utf-8", PAGE.to_owned()))
        .at("/docs/swagger-ui.css", file("getDocs", "text/css; charset=utf-8", style))
        .at("/docs/swagger-ui.js", file("getDocs", "text/javascript; charset=utf-8", script))
        .at("/docs/start.js", file("getDocs", "text/javascript; charset=utf-8", START.to_owned()))
}

fn file(operation: &'static str, content_type: &'static str, text: String) -> Methods {
    let bytes = bytes::Bytes::from(text);
    Methods::get(
        operation,
        plain(move || {
            Response::builder()
                .content_type(content_type)
                .header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
                .header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
                .body(bytes.clone())
        }),
    )
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_found_in_the_page_of_the_library() {
        let page = service().swagger_ui_html();
        assert!(between(&page, "<style charset=\"UTF-8\">", "</style>").contains(".swagger-ui"));
        let script = between(&page, "<script charset=\"UTF-8\">", "</script>");
        assert!(script.contains("SwaggerUIBundle") && script.len() > 500_000, "{}", script.len());
    }
}
