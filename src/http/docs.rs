//! The API's description: as OpenAPI, and as a page for people that needs nothing from elsewhere.

use crate::config::HttpAuth;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr, Required};

const API_KEY: &str = "api_key";
/// What is answered without a key.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/"];

/// Adds what the routes themselves cannot say: the project in the path, and how one shows an API key.
pub fn complete(document: &mut OpenApi, project: &str, auth: HttpAuth) {
    for (path, item) in &mut document.paths.paths {
        if !path.starts_with(project) {
            continue;
        }
        let operations = [&mut item.get, &mut item.post, &mut item.delete, &mut item.put, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            operation.parameters.get_or_insert_default().insert(0, project_id());
            if let Some(id) = &mut operation.operation_id {
                id.push_str("_in_project");
            }
        }
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("an API key of the project")).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(API_KEY, SecurityScheme::Http(bearer));
    if auth == HttpAuth::Keys {
        document.security = Some(vec![SecurityRequirement::new(API_KEY, [""; 0])]);
        for path in OPEN {
            if let Some(operation) = document.paths.paths.get_mut(path).and_then(|item| item.get.as_mut()) {
                // One that asks for nothing.
                operation.security = Some(vec![SecurityRequirement::default()]);
            }
        }
    }
}

fn project_id() -> Parameter {
    ParameterBuilder::new()
        .name("project_id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build()
}

/// The document as it is served.
#[must_use]
pub fn json(document: &OpenApi) -> String {
    document.to_json().unwrap_or_else(|error| format!("{{\"error\":{{\"code\":\"INTERNAL_ERROR\",\"message\":\"{error}\"}}}}"))
}

/// A page that lists every route with its parameters and answers.
#[must_use]
pub fn page(document: &OpenApi) -> String {
    let mut page = String::from(HEAD);
    let info = &document.info;
    page.push_str(&format!("<h1>{} <small>{}</small></h1>", escaped(&info.title), escaped(&info.version)));
    if let Some(description) = &info.description {
        page.push_str(&format!("<p>{}</p>", escaped(description)));
    }
    page.push_str(INTRODUCTION);
    for (path, item) in document.paths.paths.iter().filter(|(path, _)| !path.starts_with("/projects/")) {
        let operations =
            [("GET", &item.get), ("POST", &item.post), ("PUT", &item.put), ("PATCH", &item.patch), ("DELETE", &item.delete)];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                put_operation(&mut page, method, path, operation);
            }
        }
    }
    page.push_str("</main></body></html>\n");
    page
}

fn put_operation(page: &mut String, method: &str, path: &str, operation: &Operation) {
    page.push_str(&format!("<section><h2><code class=\"{method}\">{method}</code> <code>{}</code></h2>", escaped(path)));
    for text in [&operation.summary, &operation.description].into_iter().flatten() {
        page.push_str(&format!("<p>{}</p>", escaped(text)));
    }
    let parameters = operation.parameters.iter().flatten();
    let rows: Vec<String> = parameters
        .map(|parameter| {
            let place = match parameter.parameter_in {
                ParameterIn::Query => "query",
                ParameterIn::Path => "path",
                ParameterIn::Header => "header",
                ParameterIn::Cookie => "cookie",
            };
            let description = parameter.description.as_deref().unwrap_or_default();
            format!(
                "<tr><td><code>{}</code></td><td>{place}</td><td>{}</td></tr>",
                escaped(&parameter.name),
                escaped(description)
            )
        })
        .collect();
    if !rows.is_empty() {
        page.push_str(&format!("<table>{}</table>", rows.concat()));
    }
    if let Some(schema) = operation.request_body.as_ref().and_then(|body| body.content.get("application/json")?.schema.as_ref()) {
        page.push_str(&format!("<p>Body: {}</p>", schema_name(schema)));
    }
    page.push_str("<p>Answers: ");
    for (status, response) in &operation.responses.responses {
        let schema = match response {
            RefOr::T(response) => response.content.values().next().and_then(|content| content.schema.as_ref()),
            RefOr::Ref(_) => None,
        };
        let body = schema.map(|schema| format!(" {}", schema_name(schema))).unwrap_or_default();
        page.push_str(&format!("<span><code>{}</code>{body}</span> ", escaped(status)));
    }
    page.push_str("</p></section>");
}

fn schema_name(schema: &RefOr<utoipa::openapi::Schema>) -> String {
    match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next().unwrap_or_default();
            format!("<a href=\"/openapi.json\">{}</a>", escaped(name))
        }
        RefOr::T(_) => String::new(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>Fourbyfour Stream: HTTP</title><style>\
body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1b1f24;background:#fff}main{max-width:52rem;margin:2rem auto;padding:0 1rem}\
h2{font-size:1rem;margin:0 0 .5rem}section{border-top:1px solid #d8dee4;padding:1rem 0}code{font:14px ui-monospace,monospace}\
table{border-collapse:collapse}td{padding:.1rem 1rem .1rem 0;vertical-align:top}small{color:#59636e;font-weight:normal}\
.GET{color:#0969da}.POST{color:#1a7f37}.PUT,.PATCH{color:#9a6700}.DELETE{color:#cf222e}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}section{border-color:#30363d}a{color:#58a6ff}}\
</style></head><body><main>";

const INTRODUCTION: &str = "<p>Everything is JSON. Every route is also there under <code>/projects/{project_id}</code>. With \
<code>http.auth = \"keys\"</code>, send <code>Authorization: Bearer &lt;key&gt;</code>. Errors are \
<code>{\"error\": {\"code\", \"message\"}}</code>. The whole description: <a href=\"/openapi.json\">openapi.json</a>.</p>";
