// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "control/bootstrap/security_fixture.h"

namespace gantry::control {
namespace {

using ::testing::HasSubstr;

TEST_F(SecurityTest, StrangersGetHealthAndVersionAndNothingElse) {
  with_token("");
  EXPECT_EQ(get("/healthz").code, 200);
  EXPECT_EQ(get("/version").code, 200);
  for (const char* path : {"/api", "/apis", "/openapi/v3", "/api/v1/namespaces", "/metrics", "/api/v1/secrets"}) {
    EXPECT_EQ(get(path).code, 403) << path;
  }
  with_token("no-token-at-all");
  EXPECT_EQ(get("/healthz").code, 401);
}

TEST_F(SecurityTest, ARoleGivesWhatItSaysAfterItIsBound) {
  EXPECT_EQ(post(cat(kRbac, "/clusterroles"), role("reader", R"("get","list")", R"("pods")")).code, 201);
  as("jane");
  EXPECT_EQ(get(kPods).code, 403);
  as("admin", {"system:masters"});
  EXPECT_EQ(post(cat(kRbac, "/clusterrolebindings"), binding("readers", "reader", "jane")).code, 201);
  as("jane");
  EXPECT_EQ(get(kPods).code, 200);
  EXPECT_EQ(get("/api/v1/namespaces/default/secrets").code, 403);
}

TEST_F(SecurityTest, NobodyGivesAwayWhatHeDoesNotHave) {
  // joe may write roles and bindings, and read pods.
  EXPECT_EQ(post(cat(kRbac, "/clusterroles"),
                 R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"writer"},
"rules":[{"apiGroups":["rbac.authorization.k8s.io"],"resources":["*"],"verbs":["create","update","patch","get"]},
{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]})")
                .code,
            201);
  EXPECT_EQ(post(cat(kRbac, "/clusterrolebindings"), binding("writers", "writer", "joe")).code, 201);
  as("joe");
  EXPECT_EQ(post(cat(kRbac, "/clusterroles"), role("mine", R"("get")", R"("pods")")).code, 201);
  const Answer refused = post(cat(kRbac, "/clusterroles"), role("more", R"("get")", R"("secrets")"));
  EXPECT_EQ(refused.code, 403);
  EXPECT_THAT(refused.text("message"), HasSubstr("attempting to grant RBAC permissions not currently held"));
  EXPECT_EQ(post(cat(kRbac, "/clusterrolebindings"), binding("up", "cluster-admin", "joe")).code, 403);
  EXPECT_EQ(post(cat(kRbac, "/clusterrolebindings"), binding("later", "not-there-yet", "joe")).code, 403);
  EXPECT_EQ(post(cat(kRbac, "/clusterrolebindings"), binding("same", "mine", "jane")).code, 201);
  // Nor through a role that takes over whatever others write.
  EXPECT_EQ(post(cat(kRbac, "/clusterroles"),
                 R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"sum"},
"rules":[],"aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"x":"y"}}]}})")
                .code,
            403);
  // Nor by changing a role that is bound already.
  EXPECT_EQ(ask("PUT", cat(kRbac, "/clusterroles/mine"), role("mine", R"("*")", R"("*")")).code, 403);
}

// A right within a namespace, on an object, or to patch: none of them is more.
TEST_F(SecurityTest, ARightIsNoMoreThanItSays) {
  const std::string role =
      R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"all"},"rules":[)"
      R"({"apiGroups":["*"],"resources":["namespaces"],"verbs":["*"]},)"
      R"({"apiGroups":[""],"resources":["secrets"],"resourceNames":["mine"],"verbs":["*"]},)"
      R"({"apiGroups":[""],"resources":["configmaps"],"verbs":["patch"]}]})";
  ASSERT_EQ(post(cat(kRbac, "/namespaces/default/roles"), role).code, 201);
  ASSERT_EQ(post(cat(kRbac, "/namespaces/default/rolebindings"),
                 R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"all"},)"
                 R"("roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"all"},)"
                 R"("subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"jane"}]})")
                .code,
            201);
  as("jane");
  for (const char* method : {"GET", "DELETE", "PUT", "PATCH"}) {
    const int code = ask(method, "/api/v1/namespaces/default/namespaces/kube-system").code;
    EXPECT_TRUE(code == 403 || code == 404 || code == 405) << method << code;
  }
  EXPECT_NE(get("/api/v1/namespaces/default/namespaces").code, 200);
  EXPECT_EQ(get("/api/v1/namespaces/default").code, 200);  // its own
  for (const char* method : {"LIST", "DELETECOLLECTION", "WATCH"}) {
    EXPECT_EQ(ask(method, "/api/v1/namespaces/default/secrets/mine").code, 405) << method;
  }
  http::Request apply{.method = "PATCH",
                      .target = "/api/v1/namespaces/default/configmaps/new?fieldManager=x",
                      .headers = {{"Content-Type", "application/apply-patch+yaml"}},
                      .body = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"new"}})"};
  apply.peer.certificate = certificate_;
  EXPECT_EQ(run(loop_, server_->handle(loop_, std::move(apply))).response.status, 403);
}

TEST_F(SecurityTest, WhoAsksForACertificateIsWhoSentIt) {
  const Result<PrivateKey> key = PrivateKey::generate();
  const auto request = [&key](const std::string& organization) {
    const Result<std::string> pem =
        make_signing_request(*key, {.common_name = "jane", .organizations = {organization}}, {});
    return cat(
        R"({"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"generateName":"r-"},)",
        R"("spec":{"request":")", api::encode_base64(*pem), R"(","signerName":"kubernetes.io/kube-apiserver-client",)",
        R"("usages":["client auth"],"username":"system:node:n1","groups":["system:nodes"]}})");
  };
  ASSERT_EQ(
      post(cat(kRbac, "/clusterroles"),
           R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"asks"},"rules":[)"
           R"({"apiGroups":["certificates.k8s.io"],"resources":["certificatesigningrequests",)"
           R"("certificatesigningrequests/approval"],"verbs":["*"]}]})")
          .code,
      201);
  ASSERT_EQ(post(cat(kRbac, "/clusterrolebindings"), binding("asks", "asks", "jane")).code, 201);
  as("jane", {"team"});
  const Answer made = post("/apis/certificates.k8s.io/v1/certificatesigningrequests", request("team"));
  ASSERT_EQ(made.code, 201) << made.body;
  const Result<api::Value> object = api::parse_json(made.body);
  EXPECT_EQ(*object->find("spec")->find("username")->as_string(), "jane");
  EXPECT_EQ(made.body.find("system:nodes"), std::string::npos);
  EXPECT_EQ(post("/apis/certificates.k8s.io/v1/certificatesigningrequests", request("system:masters")).code, 403);
  // Writing the approval is one right, to approve for the signer another.
  api::Value approved = *object;
  approved["status"] = api::Value::object(
      {{"conditions", api::Value(api::Value::List{api::Value::object(
                          {{"type", "Approved"}, {"status", "True"}, {"reason", "x"}, {"message", "x"}})})}});
  const std::string path = cat("/apis/certificates.k8s.io/v1/certificatesigningrequests/",
                               *object->find("metadata")->find("name")->as_string(), "/approval");
  EXPECT_EQ(ask("PUT", path, api::write_json(approved)).code, 403);
  as("admin", {"system:masters"});
  const Answer done = ask("PUT", path, api::write_json(approved));
  EXPECT_EQ(done.code, 200) << done.body;
}

TEST_F(SecurityTest, ImpersonationNeedsItsVerb) {
  as("jane");
  http::Request request{.method = "GET", .target = kPods, .headers = {{"Impersonate-User", "admin"}}};
  request.peer.certificate = certificate_;
  EXPECT_EQ(run(loop_, server_->handle(loop_, std::move(request))).response.status, 403);
}

TEST_F(SecurityTest, ATokenIsItsAccountUntilThatIsGone) {
  make_account("robot");
  const std::string token = make_token("robot");
  with_token(token);
  EXPECT_EQ(get("/api").code, 200);  // as everybody who is known
  EXPECT_EQ(get(kPods).code, 403);
  const Answer me = post("/apis/authentication.k8s.io/v1/selfsubjectreviews",
                         R"({"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"})");
  EXPECT_THAT(me.body, HasSubstr("system:serviceaccount:default:robot"));
  EXPECT_THAT(me.body, HasSubstr("system:serviceaccounts:default"));
  as("admin", {"system:masters"});
  EXPECT_EQ(ask("DELETE", cat(kAccounts, "/robot")).code, 200);
  make_account("robot");  // another one of that name
  with_token(token);
  EXPECT_EQ(get("/api").code, 401);
}

TEST_F(SecurityTest, OthersFindWhatVerifiesTokens) {
  EXPECT_EQ(get("/openid/v1/jwks").code, 200);
  const Answer found = get("/.well-known/openid-configuration");
  EXPECT_EQ(found.code, 200);
  EXPECT_EQ(found.text("issuer"), "https://kubernetes.default.svc.cluster.local");
  EXPECT_EQ(found.text("jwks_uri"), "https://192.0.2.1:6443/openid/v1/jwks");
  EXPECT_THAT(found.body, HasSubstr(R"("id_token_signing_alg_values_supported":["ES256"])"));
  make_account("robot");
  with_token(make_token("robot"));
  EXPECT_EQ(get("/openid/v1/jwks").code, 200) << "service accounts may";
  as("jane");
  EXPECT_EQ(get("/openid/v1/jwks").code, 403);
}

TEST_F(SecurityTest, ATokenEndsInTimeAndIsForItsAudienceAlone) {
  make_account("robot");
  const std::string token = make_token("robot", R"({"expirationSeconds":600})");
  const std::string other = make_token("robot", R"({"audiences":["vault"]})");
  with_token(other);
  EXPECT_EQ(get("/api").code, 401);
  with_token(token);
  EXPECT_EQ(get("/api").code, 200);
  now_.seconds += 700;
  EXPECT_EQ(get("/api").code, 401);
  as("admin", {"system:masters"});
  const Answer review = post("/apis/authentication.k8s.io/v1/tokenreviews",
                             cat(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"token":")",
                                 other, R"(","audiences":["vault","x"]}})"));
  EXPECT_EQ(review.in_status("authenticated"), "true") << review.body;
  EXPECT_EQ(review.in_status("audiences"), R"(["vault"])");
  EXPECT_EQ(post(cat(kAccounts, "/robot/token"), R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest",
"spec":{"expirationSeconds":10}})")
                .code,
            422);
}

TEST_F(SecurityTest, TheTokenOfAPodEndsWithIt) {
  make_account("default");
  EXPECT_EQ(post(kPods, kPod).code, 201);
  const std::string bound = R"({"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"web"}})";
  const std::string token = make_token("default", bound);
  with_token(token);
  EXPECT_EQ(get("/api").code, 200);
  as("admin", {"system:masters"});
  EXPECT_EQ(ask("DELETE", cat(kPods, "/web?gracePeriodSeconds=0")).code, 200);
  with_token(token);
  EXPECT_EQ(get("/api").code, 401);
}

TEST_F(SecurityTest, ATokenThatSomebodyElseSignedIsNobodys) {
  make_account("robot");
  std::string token = make_token("robot");
  token[token.size() - 10] = token[token.size() - 10] == 'A' ? 'B' : 'A';
  with_token(token);
  EXPECT_EQ(get("/healthz").code, 401);
}

TEST_F(SecurityTest, ABootstrapTokenMakesABootstrapper) {
  const auto secret = [](const std::string& extra) {
    return cat(R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"bootstrap-token-abcdef"},)",
               R"("type":"bootstrap.kubernetes.io/token","stringData":{"token-id":"abcdef",)",
               R"("token-secret":"0123456789abcdef","usage-bootstrap-authentication":"true")", extra, "}}");
  };
  const std::string path = "/api/v1/namespaces/kube-system/secrets";
  EXPECT_EQ(post(path, secret(R"(,"auth-extra-groups":"system:bootstrappers:kubeadm:default-node-token")")).code, 201);
  with_token("abcdef.0123456789abcdef");
  EXPECT_EQ(get("/api").code, 200);
  with_token("abcdef.0123456789abcdee");
  EXPECT_EQ(get("/api").code, 401);
  as("admin", {"system:masters"});
  EXPECT_EQ(ask("DELETE", path + "/bootstrap-token-abcdef").code, 200);
  EXPECT_EQ(post(path, secret(R"(,"auth-extra-groups":"system:masters")")).code, 201);
  with_token("abcdef.0123456789abcdef");
  EXPECT_EQ(get("/api").code, 401);
  as("admin", {"system:masters"});
  EXPECT_EQ(ask("DELETE", path + "/bootstrap-token-abcdef").code, 200);
  EXPECT_EQ(post(path, secret(R"(,"expiration":"2020-01-01T00:00:00Z")")).code, 201);
  with_token("abcdef.0123456789abcdef");
  EXPECT_EQ(get("/api").code, 401);
}

TEST_F(SecurityTest, ReviewsSayWhatWouldBe) {
  EXPECT_EQ(post(cat(kRbac, "/clusterroles"), role("reader", R"("get")", R"("pods")")).code, 201);
  EXPECT_EQ(post(cat(kRbac, "/clusterrolebindings"), binding("readers", "reader", "jane")).code, 201);
  const auto may = [this](const char* verb) {
    return post("/apis/authorization.k8s.io/v1/subjectaccessreviews",
                cat(R"({"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","spec":{"user":"jane",)",
                    R"("resourceAttributes":{"namespace":"default","resource":"pods","verb":")", verb, "\"}}}"))
        .in_status("allowed");
  };
  EXPECT_EQ(may("get"), "true");
  EXPECT_EQ(may("delete"), "false");
  as("jane", {"system:authenticated"});
  const Answer self = post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                           R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",
"spec":{"resourceAttributes":{"namespace":"default","resource":"pods","verb":"get"}}})");
  EXPECT_EQ(self.in_status("allowed"), "true") << self.body;
  const Answer rules = post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
                            R"({"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview",
"spec":{"namespace":"default"}})");
  EXPECT_THAT(rules.in_status("resourceRules"), HasSubstr(R"("resources":["pods"])"));
  EXPECT_EQ(post("/apis/authorization.k8s.io/v1/subjectaccessreviews", R"({"apiVersion":"authorization.k8s.io/v1",
"kind":"SubjectAccessReview","spec":{"user":"a","nonResourceAttributes":{"path":"/","verb":"get"}}})")
                .code,
            403);
}

TEST_F(SecurityTest, NamespacesMustBeThereAndStayingOnesStay) {
  EXPECT_EQ(
      post("/api/v1/namespaces/nowhere/configmaps", R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}})")
          .code,
      404);
  EXPECT_EQ(ask("DELETE", "/api/v1/namespaces/kube-system").code, 403);
  EXPECT_EQ(post("/api/v1/namespaces", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"going",
"finalizers":["a/b"]}})")
                .code,
            201);
  EXPECT_EQ(ask("DELETE", "/api/v1/namespaces/going").code, 200);
  const Answer refused =
      post("/api/v1/namespaces/going/configmaps", R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}})");
  EXPECT_EQ(refused.code, 403);
  EXPECT_THAT(refused.body, HasSubstr("NamespaceTerminating"));
}

TEST_F(SecurityTest, PodsGetTheirAccountAndItsToken) {
  const Answer without = post(kPods, kPod);
  EXPECT_EQ(without.code, 403);
  EXPECT_THAT(without.text("message"), HasSubstr("error looking up service account default/default"));
  make_account("default");
  const Answer made = post(kPods, kPod);
  EXPECT_EQ(made.code, 201) << made.body;
  EXPECT_THAT(made.body, HasSubstr(R"("serviceAccountName":"default")"));
  EXPECT_THAT(made.body, HasSubstr(R"("mountPath":"/var/run/secrets/kubernetes.io/serviceaccount")"));
  EXPECT_THAT(made.body, HasSubstr(R"("expirationSeconds":3607)"));
}

constexpr char kNodes[] = "/api/v1/nodes";
constexpr char kSecrets[] = "/api/v1/namespaces/default/secrets";

class NodeTest : public SecurityTest {
 protected:
  NodeTest() {
    make_account("default");
    for (const char* name : {"mine", "other"}) {
      EXPECT_EQ(post(kSecrets, cat(R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":")", name, "\"}}")).code,
                201);
    }
    EXPECT_EQ(post(kPods, pod("n1", R"("metadata":{"name":"web"})",
                              R"(,"volumes":[{"name":"v","secret":)"
                              R"({"secretName":"mine"}}])"))
                  .code,
              201);
    EXPECT_EQ(post(kPods, pod("n2", R"("metadata":{"name":"far"})", "")).code, 201);
    as_node("n1");
  }
  void as_node(const std::string& name) { as("system:node:" + name, {"system:nodes"}); }
  static std::string pod(const std::string& node, const std::string& metadata, const std::string& more) {
    return cat(R"({"apiVersion":"v1","kind":"Pod",)", metadata, R"(,"spec":{"nodeName":")", node,
               R"(","containers":[{"name":"c","image":"i"}])", more, "}}");
  }
  static std::string uid_of(const Answer& answer) {
    const size_t at = answer.body.find("\"uid\":\"");
    EXPECT_NE(at, std::string::npos) << answer.body;
    return at == std::string::npos ? "" : answer.body.substr(at + 7, 36);
  }
  static std::string node(const std::string& name, const std::string& more = "") {
    return cat(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":")", name, "\"", more, "}}");
  }
};

TEST_F(NodeTest, ANodeReadsWhatItsPodsNeedAndNoMore) {
  EXPECT_EQ(get(cat(kSecrets, "/mine")).code, 200);
  EXPECT_EQ(get(cat(kSecrets, "?fieldSelector=metadata.name%3Dmine")).code, 200);
  EXPECT_EQ(get(cat(kSecrets, "/other")).code, 403);
  EXPECT_EQ(get(kSecrets).code, 403);
  EXPECT_EQ(ask("DELETE", cat(kSecrets, "/mine")).code, 403);
  EXPECT_EQ(get("/api/v1/namespaces/default/configmaps/kube-root-ca.crt").code, 404);  // it may, and there is none
  EXPECT_EQ(get(cat(kPods, "/web")).code, 200);
  EXPECT_EQ(get(cat(kPods, "/far")).code, 403);
  EXPECT_EQ(get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").code, 200);
  EXPECT_EQ(get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").code, 403);
  EXPECT_EQ(get("/api/v1/pods").code, 403);
  EXPECT_EQ(get("/api/v1/services").code, 200);
  as_node("n2");
  EXPECT_EQ(get(cat(kSecrets, "/mine")).code, 403);
  as("system:node:n1");  // of no group
  EXPECT_EQ(get(cat(kSecrets, "/mine")).code, 403);
}

TEST_F(NodeTest, RightsEndWithThePod) {
  as("admin", {"system:masters"});
  EXPECT_EQ(ask("DELETE", cat(kPods, "/web?gracePeriodSeconds=0")).code, 200);
  as_node("n1");
  EXPECT_EQ(get(cat(kSecrets, "/mine")).code, 403);
}

TEST_F(NodeTest, ANodeWritesItself) {
  EXPECT_EQ(post(kNodes, node("n2")).code, 403);
  const Answer made = post(kNodes, node("n1", R"(,"labels":{"topology.kubernetes.io/zone":"a","mine":"b"})"));
  EXPECT_EQ(made.code, 201) << made.body;
  EXPECT_THAT(made.body, HasSubstr(R"("key":"node.kubernetes.io/not-ready")"));
  const auto merge = [this](const char* target, const char* patch) {
    http::Request request{.method = "PATCH",
                          .target = cat(kNodes, target),
                          .headers = {{"Content-Type", "application/merge-patch+json"}},
                          .body = patch};
    request.peer.certificate = certificate_;
    return run(loop_, server_->handle(loop_, std::move(request))).response.status;
  };
  EXPECT_EQ(merge("/n1", R"({"metadata":{"labels":{"x":"y"}}})"), 200);
  EXPECT_EQ(merge("/n1", R"({"spec":{"taints":[]}})"), 403);
  EXPECT_EQ(merge("/n1", R"({"metadata":{"labels":{"node-restriction.kubernetes.io/trust":"y"}}})"), 403);
  EXPECT_EQ(merge("/n1", R"({"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}})"), 403);
  EXPECT_EQ(ask("DELETE", cat(kNodes, "/n1")).code, 403);
  const std::string leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  const auto lease = [](const char* name) {
    return cat(R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":")", name, "\"}}");
  };
  EXPECT_EQ(post(leases, lease("n1")).code, 201);
  EXPECT_EQ(post(leases, lease("n2")).code, 403);
}

TEST_F(NodeTest, ANodeHasNoOwner) {
  EXPECT_EQ(post(kNodes, node("n1")).code, 201);
  const std::string owned =
      R"({"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"x","uid":"u"}]}})";
  EXPECT_EQ(merge(cat(kNodes, "/n1"), owned).code, 403);
  EXPECT_EQ(merge(cat(kNodes, "/n1/status"), owned).code, 403);
  as("admin", {"system:masters"});
  EXPECT_EQ(merge(cat(kNodes, "/n1"), owned).code, 200);
  as_node("n1");
  EXPECT_EQ(merge(cat(kNodes, "/n1"), R"({"metadata":{"ownerReferences":null}})").code, 403);
  EXPECT_EQ(merge(cat(kNodes, "/n1"), R"({"metadata":{"labels":{"a":"b"}}})").code, 200);
}

TEST_F(NodeTest, ItsPodsAreMirrorsThatNeedNothing) {
  const std::string uid = uid_of(post(kNodes, node("n1")));
  const auto owned = [&](const std::string& name, const std::string& more = "") {
    return cat(R"("metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"},)",
               R"("ownerReferences":[{"apiVersion":"v1","kind":"Node","name":")", name, R"(","uid":")", uid,
               R"(","controller":true)", more, "}]}");
  };
  const std::string mirror = owned("n1");
  EXPECT_EQ(post(kPods, pod("n2", mirror, "")).code, 403);
  EXPECT_EQ(post(kPods, pod("n1", R"("metadata":{"name":"m"})", "")).code, 403);
  const std::string unowned = R"("metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"}})";
  EXPECT_EQ(post(kPods, pod("n1", unowned, "")).code, 403);
  EXPECT_EQ(post(kPods, pod("n1", owned("n2"), "")).code, 403);
  EXPECT_EQ(post(kPods, pod("n1", owned("n1", R"(,"blockOwnerDeletion":true)"), "")).code, 403);
  const std::string volume = R"(,"volumes":[{"name":"v",)";
  for (const std::string& need : {std::string(R"(,"imagePullSecrets":[{"name":"other"}])"),
                                  std::string(R"(,"serviceAccountName":"default")"),
                                  std::string(R"(,"resourceClaims":[{"name":"d","resourceClaimName":"device"}])"),
                                  cat(volume, R"("configMap":{"name":"m"}}])"),
                                  cat(volume, R"("persistentVolumeClaim":{"claimName":"p"}}])"),
                                  cat(volume, R"("csi":{"driver":"d.example"}}])"),
                                  cat(volume, R"("projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}])")}) {
    const Answer answer = post(kPods, pod("n1", mirror, need));
    EXPECT_EQ(answer.code, 403) << need << answer.body;
  }
  EXPECT_EQ(post(kPods, pod("n1", mirror, R"(,"volumes":[{"name":"v","emptyDir":{}}])")).code, 201);
  EXPECT_EQ(ask("DELETE", cat(kPods, "/far")).code, 403);
  EXPECT_EQ(ask("DELETE", cat(kPods, "/m?gracePeriodSeconds=0")).code, 200);
}

TEST_F(NodeTest, ANodeSaysOfAPodHowItDoesAndNoMore) {
  EXPECT_EQ(merge(cat(kPods, "/web/status"), R"({"status":{"phase":"Running"}})").code, 200);
  EXPECT_EQ(merge(cat(kPods, "/far/status"), R"({"status":{"phase":"Running"}})").code, 403);
  for (const char* patch : {R"({"metadata":{"labels":{"app":"web"}}})",
                            R"({"status":{"resourceClaimStatuses":[{"name":"d","resourceClaimName":"device"}]}})"}) {
    const Answer answer = merge(cat(kPods, "/web/status"), patch);
    EXPECT_EQ(answer.code, 403) << answer.body;
  }
}

TEST_F(NodeTest, OfAClaimANodeSaysHowLargeItIs) {
  constexpr char kClaims[] = "/api/v1/namespaces/default/persistentvolumeclaims";
  as("admin", {"system:masters"});
  EXPECT_EQ(post(kClaims, R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},"spec":)"
                          R"({"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}})")
                .code,
            201);
  EXPECT_EQ(post(kPods, pod("n1", R"("metadata":{"name":"user"})",
                            R"(,"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"data"}}])"))
                .code,
            201);
  as_node("n1");
  const std::string status = cat(kClaims, "/data/status");
  const Answer grown = merge(status, R"({"status":{"capacity":{"storage":"2Gi"}}})");
  EXPECT_EQ(grown.code, 200) << grown.body;
  for (const char* patch :
       {R"({"status":{"phase":"Lost"}})", R"({"metadata":{"labels":{"a":"b"}}})",
        R"({"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"x","uid":"u"}]}})"}) {
    EXPECT_EQ(merge(status, patch).code, 403) << patch;
  }
}

TEST_F(NodeTest, OfItsOwnFoldersANodeSaysWhenTheyAreGone) {
  constexpr char kVolumes[] = "/api/v1/persistentvolumes";
  as("admin", {"system:masters"});
  for (const char* of : {"n1", "n2", "kept"}) {
    EXPECT_EQ(post(kVolumes, cat(R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"v-)", of,
                                 R"(","labels":{"gantry.io/local-volume-node":")",
                                 std::string_view(of) == "kept" ? "n1" : of,
                                 R"("},"finalizers":["gantry.io/local-volume",)"
                                 R"("kubernetes.io/pv-protection"]},"spec":{"capacity":)"
                                 R"({"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/x"}}})"))
                  .code,
              201);
  }
  as_node("n1");
  constexpr char kGone[] = R"({"metadata":{"finalizers":["kubernetes.io/pv-protection"]}})";
  EXPECT_EQ(merge(cat(kVolumes, "/v-n1"), kGone).code, 403);  // nobody has deleted it
  as("admin", {"system:masters"});
  for (const char* of : {"n1", "n2"}) EXPECT_EQ(ask("DELETE", cat(kVolumes, "/v-", of)).code, 200);
  as_node("n1");
  EXPECT_EQ(get(cat(kVolumes, "?labelSelector=gantry.io%2Flocal-volume-node%3Dn1")).code, 200);
  EXPECT_EQ(get(cat(kVolumes, "?labelSelector=gantry.io%2Flocal-volume-node%3Dn2")).code, 403);
  EXPECT_EQ(get(cat(kVolumes, "?labelSelector=gantry.io%2Flocal-volume-node%3Dn1,a!%3Db")).code, 403);
  EXPECT_EQ(get(kVolumes).code, 403);
  EXPECT_EQ(get(cat(kVolumes, "/v-n1")).code, 403);
  EXPECT_EQ(merge(cat(kVolumes, "/v-n2"), kGone).code, 403);
  EXPECT_EQ(merge(cat(kVolumes, "/v-n2"), "{}").code, 403);  // by which it could be read
  for (const char* patch :
       {R"({"metadata":{"finalizers":null}})", R"({"metadata":{"finalizers":["gantry.io/local-volume"]}})",
        R"({"metadata":{"finalizers":["kubernetes.io/pv-protection"],"labels":{"a":"b"}}})",
        R"({"metadata":{"finalizers":["kubernetes.io/pv-protection"]},"spec":{"persistentVolumeReclaimPolicy":"Delete"}})",
        R"({"metadata":{"labels":{"gantry.io/local-volume-node":"n2"}}})"}) {
    EXPECT_EQ(merge(cat(kVolumes, "/v-n1"), patch).code, 403) << patch;
  }
  EXPECT_EQ(ask("DELETE", cat(kVolumes, "/v-kept")).code, 403);
  EXPECT_EQ(merge(cat(kVolumes, "/v-n1/status"), R"({"status":{"phase":"Available"}})").code, 403);
  const Answer gone = merge(cat(kVolumes, "/v-n1"), kGone);
  EXPECT_EQ(gone.code, 200) << gone.body;
}

TEST_F(NodeTest, ItAsksForCertificatesOfItsOwnName) {
  const auto request = [](const std::string& name, const std::string& user) {
    const Result<PrivateKey> key = PrivateKey::generate();
    const Result<std::string> pem =
        make_signing_request(*key, {.common_name = user, .organizations = {"system:nodes"}}, {});
    return cat(R"({"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest",)",
               R"("metadata":{"name":")", name,
               R"("},"spec":{"request":")", api::encode_base64(*pem),
               R"(","signerName":"kubernetes.io/kube-apiserver-client-kubelet","usages":["client auth"]}})");
  };
  constexpr char kRequests[] = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  const Answer own = post(kRequests, request("own", "system:node:n1"));
  EXPECT_EQ(own.code, 201) << own.body;
  EXPECT_EQ(post(kRequests, request("far", "system:node:n2")).code, 403);
}

TEST_F(NodeTest, ItsTokensAreThoseOfItsPods) {
  const std::string path = cat(kAccounts, "/default/token");
  const auto request = [](const std::string& spec) {
    return cat(R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{)", spec, "}}");
  };
  as("admin", {"system:masters"});
  const Answer web = get(cat(kPods, "/web"));
  const std::string uid = uid_of(web);
  as_node("n1");
  const std::string bound = R"("boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"web","uid":")";
  EXPECT_EQ(post(path, request(cat(bound, uid, "\"}"))).code, 201);
  EXPECT_EQ(post(path, request(cat(bound, "another\"}"))).code, 409);
  EXPECT_EQ(post(path, request("")).code, 403);
  EXPECT_EQ(post(path, request(R"("boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"far"})")).code, 403);
}

TEST_F(SecurityTest, PodsHaveThePriorityOfTheirClass) {
  make_account("default");
  const auto pod = [](const std::string& more) {
    return cat(R"({"apiVersion":"v1","kind":"Pod","metadata":{"generateName":"p-"},"spec":{)", more,
               R"("containers":[{"name":"c","image":"i"}]}})");
  };
  EXPECT_THAT(post(kPods, pod("")).body, HasSubstr(R"("priority":0)"));
  EXPECT_THAT(post(kPods, pod(R"("priorityClassName":"system-node-critical",)")).body,
              HasSubstr(R"("priority":2000001000)"));
  EXPECT_EQ(post(kPods, pod(R"("priorityClassName":"none",)")).code, 403);
  EXPECT_EQ(post(kPods, pod(R"("priority":7,)")).code, 403);
}

TEST_F(SecurityTest, PodsOutlastAShortAbsenceOfTheirNode) {
  make_account("default");
  const auto twice = ::testing::ContainsRegex(R"("tolerationSeconds":300.*"tolerationSeconds":300)");
  EXPECT_THAT(post(kPods, R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{)"
                          R"("containers":[{"name":"c","image":"i"}]}})")
                  .body,
              twice);
  const Answer more = merge(cat(kPods, "/p"), R"({"spec":{"tolerations":[{"key":"more","operator":"Exists"}]}})");
  EXPECT_EQ(more.code, 200) << more.body;
  EXPECT_THAT(more.body, twice);
}

}  // namespace
}  // namespace gantry::control
