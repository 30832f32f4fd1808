//! The HTTP client of S3. It reads the system's certificates, which are some hundred files, only when a server
//! is reached by https: a store beside the loader needs none of them.

use aws_sdk_s3::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

/// A client for http and https, which trusts whom the system trusts.
pub(super) fn client() -> SharedHttpClient {
    let https = trusting(TrustStore::default());
    let http = trusting(TrustStore::empty());
    http_client_fn(move |settings, components| {
        SharedHttpConnector::new(ByScheme {
            https: https.clone(),
            http: http.clone(),
            settings: settings.clone(),
            components: components.clone(),
        })
    })
}

fn trusting(authorities: TrustStore) -> SharedHttpClient {
    let context = TlsContext::builder().with_trust_store(authorities).build();
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.unwrap_or_default())
        .build_https()
}

/// Clients that make their connectors, and keep them, when they are asked for one.
#[derive(Debug)]
struct ByScheme {
    https: SharedHttpClient,
    http: SharedHttpClient,
    settings: HttpConnectorSettings,
    components: RuntimeComponents,
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let plain = request.uri().starts_with("http://");
        let client = if plain { &self.http } else { &self.https };
        let connector = client.http_connector(&self.settings, &self.components);
        connector.call(request)
    }
}
