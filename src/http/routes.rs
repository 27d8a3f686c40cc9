//! From method and path to an operation. Invariant: a known path answers 405 with `Allow` to every other method, GET serves HEAD,
//! and each operation is known by its id before its first extractor runs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderValue, Method};
use poem::{Endpoint, EndpointExt, Request, Response, Route};
use poem_openapi::OpenApi;
// poem-openapi's own service would turn errors into text before the door sees them; its parameters want only this value.
use poem_openapi::__private::UrlQuery;

use super::context::RequestContext;
use super::problem::Problem;

/// One path with its operations.
pub(super) struct Methods {
    operations: Vec<(Method, &'static str, BoxEndpoint<'static>)>,
    allow: HeaderValue,
}

impl Methods {
    /// A path that knows only GET (and HEAD).
    pub(super) fn get<E>(operation: &'static str, endpoint: E) -> Self
    where
        E: Endpoint<Output = Response> + 'static,
    {
        Self::new(vec![(Method::GET, operation, endpoint.boxed())])
    }

    /// A path that knows only POST, for a test's own routes.
    #[cfg(test)]
    pub(super) fn post_for_test<E>(operation: &'static str, endpoint: E) -> Self
    where
        E: Endpoint<Output = Response> + 'static,
    {
        Self::new(vec![(Method::POST, operation, endpoint.boxed())])
    }

    fn new(operations: Vec<(Method, &'static str, BoxEndpoint<'static>)>) -> Self {
        let mut names: BTreeSet<&str> = operations.iter().map(|(method, ..)| method.as_str()).collect();
        if names.contains("GET") {
            names.insert("HEAD");
        }
        let allow = names.into_iter().collect::<Vec<_>>().join(", ");
        // Method names are header-safe; an empty value would only say too little.
        let allow = HeaderValue::from_str(&allow).unwrap_or(HeaderValue::from_static(""));
        Self { operations, allow }
    }
}

impl Endpoint for Methods {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let wanted = if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let Some((_, operation, endpoint)) = self.operations.iter().find(|(method, ..)| method == wanted) else {
            return Err(Problem::method_not_allowed(self.allow.clone()).into());
        };
        RequestContext::of(&request)?.found(operation);
        let query = match request.uri().query() {
            Some(_) => request.params().unwrap_or_default(),
            None => Vec::new(),
        };
        request.extensions_mut().insert(UrlQuery(query));
        endpoint.call(request).await
    }
}

/// Adds every operation of the API, and the value its handlers share.
pub(super) fn api_routes<T: OpenApi>(api: T) -> Route {
    let ids = operation_ids::<T>();
    let mut table = HashMap::new();
    api.add_routes(&mut table);
    table.into_iter().fold(Route::new(), |route, (path, methods)| {
        let operations = methods.into_iter().map(|(method, endpoint)| {
            let id = ids.get(&(comparable(&path), method.clone())).copied().unwrap_or("unnamed");
            (method, id, endpoint)
        });
        route.at(&path, Methods::new(operations.collect()))
    })
}

fn operation_ids<T: OpenApi>() -> HashMap<(String, Method), &'static str> {
    let paths = T::meta().into_iter().flat_map(|api| api.paths);
    let operations = paths.flat_map(|path| {
        let name = comparable(&path.path);
        path.operations
            .into_iter()
            .map(move |operation| ((name.clone(), operation.method.clone()), operation.operation_id))
    });
    operations.filter_map(|(key, id)| id.map(|id| (key, id))).collect()
}

/// A path without the names of its parameters: the document writes `{account_id}` where the router writes `:param0`.
fn comparable(path: &str) -> String {
    let segments = path.split('/').map(|part| if part.starts_with([':', '{']) { "*" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

/// A function as an endpoint, for the few paths outside the document.
pub(super) fn plain<F>(answer: F) -> impl Endpoint<Output = Response>
where
    F: Fn() -> Response + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    poem::endpoint::make_sync(move |_| answer())
}
