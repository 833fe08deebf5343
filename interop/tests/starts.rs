//! The Express side starts, and is what the lock file says.

#[tokio::test]
async fn express_answers() {
    let Some(server) = sessile_interop::node("versions.js", &[]) else { return };
    let url = format!("http://{}/", server.address());
    let versions: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    println!("versions: {versions}");
    assert!(versions["express-session"].as_str().unwrap().starts_with("1.19."), "{versions}");
    assert!(versions["express"].as_str().unwrap().starts_with("5."), "{versions}");
}
