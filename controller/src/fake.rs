//! An API server of a few lines, for unit tests: it keeps what was asked, and answers as it is told.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::context::{Context, Options};
use crate::events::Events;
use crate::serve::Health;

/// What was asked of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

/// What it was asked, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Asked>>>);

impl Record {
    /// All writes of events; whatever was asked is forgotten by it.
    pub(crate) fn events(&self) -> Vec<Asked> {
        let mut all = self.0.lock().unwrap();
        let taken = std::mem::take(&mut *all);
        let is_event = |asked: &Asked| asked.method != "GET" && asked.path.contains("/events");
        taken.into_iter().filter(is_event).collect()
    }

    /// All writes, events left aside; they are forgotten by it.
    pub(crate) fn writes(&self) -> Vec<Asked> {
        let mut all = self.0.lock().unwrap();
        let taken = std::mem::take(&mut *all);
        let is_write = |asked: &Asked| asked.method != "GET" && !asked.path.contains("/events");
        taken.into_iter().filter(is_write).collect()
    }
}

/// A context whose API server answers by `answer`, with a status and a body; none echoes what was sent, with a name.
pub(crate) fn context(
    answer: impl Fn(&Asked) -> Option<(u16, Value)> + Send + Sync + 'static,
) -> (Arc<Context>, Record) {
    let record = Record::default();
    let kept = record.clone();
    let answer = Arc::new(answer);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (kept, answer) = (kept.clone(), Arc::clone(&answer));
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.unwrap().to_bytes();
            let content_type = parts.headers.get("content-type");
            let asked = Asked {
                method: parts.method.to_string(),
                path: parts.uri.to_string(),
                content_type: content_type
                    .map_or_else(String::new, |value| value.to_str().unwrap().to_owned()),
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            };
            let (status, body) = answer(&asked).unwrap_or_else(|| (200, echo(&asked)));
            kept.0.lock().unwrap().push(asked);
            let response = Response::builder().status(status);
            Ok::<_, std::convert::Infallible>(
                response.body(Body::from(body.to_string().into_bytes())).unwrap(),
            )
        }
    });
    let client = Client::new(service, "default");
    let (events, _) = Events::new(&client, "kube-system", "test");
    let options = Options {
        render_delay: std::time::Duration::ZERO,
        keep: 2,
        node: None,
        release: None,
        joining: None,
    };
    (
        Arc::new(Context::new(client, events, Arc::new(Health::default()), options)),
        record,
    )
}

/// The object as it may be after the write: without what was removed, and with what no object is without.
fn echo(asked: &Asked) -> Value {
    if asked.method == "DELETE" {
        return json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
    }
    let mut body = asked.body.clone();
    drop_nulls(&mut body);
    let path = asked.path.split('?').next().unwrap_or_default();
    let mut steps = path.trim_end_matches("/status").rsplit('/');
    let (name, kind) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
    if body["metadata"]["name"].is_null() {
        body["metadata"]["name"] = json!(name);
    }
    if body["spec"].is_null() {
        body["spec"] = match kind {
            "machineconfignodes" => {
                json!({"node": {"name": name}, "pool": {"name": "p"}, "configVersion": {"desired": "c"}})
            }
            _ => json!({}),
        };
    }
    body
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(drop_nulls);
    }
}

/// An answer that refuses.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    (code, status)
}
