//! `users`.

use serde_json::json;

use super::*;

#[tokio::test]
async fn everybody_is_listed_with_role_and_standing() {
    let server = server().await;
    let change = crate::UserChange { is_active: Some(false), ..Default::default() };
    server.writer.change_user(RealmId(1), squall_protocol::UserId(3), change).await.unwrap();
    let body = server.get("gus", "users", &[]).await.success();
    assert_eq!(body["as_of"], server.head().await);
    let members = body["members"].as_array().unwrap();
    let told: Vec<_> =
        members.iter().map(|user| (&user["user_id"], &user["role"], &user["is_active"])).collect();
    assert_eq!(
        told,
        [
            (&json!(1), &json!(200), &json!(true)),
            (&json!(2), &json!(400), &json!(true)),
            (&json!(3), &json!(400), &json!(false)),
            (&json!(4), &json!(600), &json!(true)),
        ]
    );
    assert_eq!((&members[0]["is_admin"], &members[3]["is_guest"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn one_is_told_of_oneself_and_of_others() {
    let server = server().await;
    let body = server.get("bo", "users/me", &[]).await.success();
    assert_eq!((&body["user_id"], &body["email"]), (&json!(2), &json!("bo@test.example")));
    assert_eq!(body["as_of"], server.head().await);
    let body = server.get("bo", "users/1", &[]).await.success();
    assert_eq!((&body["user"]["full_name"], &body["as_of"]), (&json!("ADA"), &server.head().await));
    for unknown in ["users/99", "users/x"] {
        assert_eq!(server.get("bo", unknown, &[]).await.error(400, "BAD_REQUEST")["msg"], "No such user");
    }
}
