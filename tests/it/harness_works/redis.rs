//! Redis, real and broken.

use crate::harness::redis::Redis;
use crate::harness::tls::Authority;

#[tokio::test]
async fn it_holds_what_is_put_into_it_until_it_is_stopped() {
    let mut redis = Redis::start().await;
    assert_eq!(redis.cli(&["SET", "a", "1", "EX", "100"]).await, "OK");
    assert_eq!(redis.cli(&["GET", "a"]).await, "1");
    assert_eq!(redis.cli(&["MGET", "a", "b"]).await, "1\nnil");
    assert!(redis.try_cli(&["NONSENSE"]).await.is_err());
    let mut connection = redis.connection().await;
    let () = ::redis::cmd("SET").arg("b").arg("2").query_async(&mut connection).await.unwrap();
    assert_eq!(redis.cli(&["DBSIZE"]).await, "2");
    let address = redis.address();
    assert_eq!((redis.url(), redis.password()), (format!("redis://{address}/0"), None));
    redis.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(redis.try_cli(&["PING"]).await.is_err());
    redis.start_again().await;
    assert_eq!((redis.address(), redis.cli(&["DBSIZE"]).await), (address, "0".to_owned()));
}

#[tokio::test]
async fn a_paused_one_answers_nothing_until_it_is_resumed() {
    let redis = Redis::start().await;
    let mut connection = redis.connection().await;
    redis.pause();
    let mut ping = Box::pin(async move { ::redis::cmd("PING").query_async::<String>(&mut connection).await });
    let wait = tokio::time::timeout(std::time::Duration::from_millis(50), &mut ping).await;
    assert!(wait.is_err(), "a paused Redis answered {wait:?}");
    redis.resume();
    assert_eq!(ping.await.unwrap(), "PONG");
    assert!(redis.log().contains("Ready to accept connections"));
}

#[tokio::test]
async fn passwords_users_and_options() {
    let redis = Redis::builder().password("s3cret").option("maxmemory", &["10mb"]).start().await;
    assert_eq!(redis.password(), Some("s3cret"));
    let open = |url: String| async move {
        let client = ::redis::Client::open(url).unwrap();
        client.get_multiplexed_async_connection().await.map(|_| ()).map_err(|error| error.to_string())
    };
    let address = redis.address();
    assert!(open(format!("redis://:s3cret@{address}/0")).await.is_ok());
    assert!(open(format!("redis://:wrong@{address}/0")).await.is_err());
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory"]).await, "maxmemory\n10485760");

    let redis = Redis::builder().acl("user default off\nuser reader on >pw ~a* +get").start().await;
    let client = ::redis::Client::open(format!("redis://reader:pw@{}/0", redis.address())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let get = |key: &str| ::redis::cmd("GET").arg(key).to_owned();
    assert!(get("a").query_async::<Option<String>>(&mut connection).await.is_ok());
    let refused = get("b").query_async::<Option<String>>(&mut connection).await.unwrap_err();
    assert_eq!(refused.code(), Some("NOPERM"));
}

#[tokio::test]
async fn over_tls_only() {
    let redis = Redis::builder().tls(&Authority::shared().server(&["127.0.0.1"])).start().await;
    assert!(redis.url().starts_with("rediss://"));
    assert_eq!(redis.cli(&["PING"]).await, "PONG");
    let client = ::redis::Client::open(format!("redis://{}/0", redis.address())).unwrap();
    assert!(client.get_multiplexed_async_connection().await.is_err());
}
