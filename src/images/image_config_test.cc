// SPDX-License-Identifier: Apache-2.0
#include "images/image_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "images/documents.h"
#include "images/text.h"

namespace gantry::images {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

const std::string kDiff = digest_of("layer").to_string();

TEST(ImageConfigTest, ReadsWhatRunsAContainer) {
  auto config = parse_image_config(cat(R"({"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z",
    "config":{"User":"1000:100","ExposedPorts":{"9376/tcp":{},"53/udp":{}},"Env":["A=b=c","=x","NONE","E="],
      "Entrypoint":["/bin/httpd"],"Cmd":["-f"],"Volumes":{"/data":{}},"WorkingDir":"/srv","Labels":{"b":"2","a":"1"},
      "StopSignal":"SIGINT","Healthcheck":{"Test":["NONE"]},"ArgsEscaped":true},
    "rootfs":{"type":"layers","diff_ids":[")",
                                       kDiff, R"("]},"history":[{"created_by":"x"}]})"));
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->user, "1000:100");
  EXPECT_THAT(config->exposed_ports, ElementsAre("53/udp", "9376/tcp"));
  EXPECT_THAT(config->env, ElementsAre("A=b=c", "E=")) << "an entry without a name can be given to nobody";
  EXPECT_THAT(config->entrypoint, ElementsAre("/bin/httpd"));
  EXPECT_THAT(config->cmd, ElementsAre("-f"));
  EXPECT_THAT(config->volumes, ElementsAre("/data"));
  EXPECT_EQ(config->working_dir, "/srv");
  EXPECT_EQ(config->stop_signal, "SIGINT");
  EXPECT_THAT(config->labels, ElementsAre(Pair("a", "1"), Pair("b", "2")));
  ASSERT_EQ(config->diff_ids.size(), 1U);
  EXPECT_EQ(config->diff_ids[0].to_string(), kDiff);
}

TEST(ImageConfigTest, NullIsAbsent) {
  auto config =
      parse_image_config(cat(R"({"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":null,"Labels":null,
    "Volumes":null,"User":null},"rootfs":{"type":"layers","diff_ids":[")",
                             kDiff, R"("]}})"));
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_THAT(config->env, IsEmpty());
  EXPECT_THAT(config->labels, IsEmpty());
}

TEST(ImageConfigTest, RefusesWhatIsNoConfiguration) {
  const std::string rootfs = cat(R"("rootfs":{"type":"layers","diff_ids":[")", kDiff, R"("]})");
  std::string many;
  for (int i = 0; i < 200; ++i) many += cat(i == 0 ? "\"" : ",\"", kDiff, "\"");
  const std::pair<std::string, const char*> cases[] = {
      {"", "not JSON"},
      {"[]", "expected a JSON object"},
      {"{} {}", "not JSON"},
      {std::string(40, '[') + std::string(40, ']'), "not JSON"},
      {"{}", "\"rootfs\" is missing"},
      {R"({"rootfs":{"type":"other"}})", "a type other than"},
      {R"({"rootfs":{"type":"layers","diff_ids":["sha256:../../x"]}})", "64 lower-case hex digits"},
      {cat(R"({"rootfs":{"type":"layers","diff_ids":[)", many, "]}}"), "at most 127"},
      {cat(R"({"config":{"Cmd":"/bin/sh"},)", rootfs, "}"), "\"Cmd\" is not a list"},
      {cat(R"({"config":{"Env":[1]},)", rootfs, "}"), "\"Env\" is not a string"},
      {cat(R"({"config":{"User":"a\u0000b"},)", rootfs, "}"), "NUL"},
      {cat(R"({"config":{"Labels":{"a":1}},)", rootfs, "}"), "\"Labels\" is not a string"},
      {cat(R"({"config":{"User":")", std::string(kMaxConfigString + 1, 'x'), R"("},)", rootfs, "}"), "at most 131072"},
      {std::string(kMaxConfigBytes + 1, ' '), "at most 4194304 are allowed"},
  };
  for (const auto& [text, why] : cases) {
    auto config = parse_image_config(text);
    ASSERT_FALSE(config) << text.substr(0, 100);
    EXPECT_THAT(config.error().message(), HasSubstr(why));
  }
}

TEST(BuildConfigTest, TakesTheKnownKeysOnly) {
  auto config = parse_build_config(
      R"({"Entrypoint":["/app"],"Env":["PATH=/bin"],"WorkingDir":"/","ExposedPorts":{"9376/tcp":{}}})");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->os, "linux");
  EXPECT_EQ(config->architecture, kHostArchitecture);
  EXPECT_THAT(config->exposed_ports, ElementsAre("9376/tcp"));

  EXPECT_THAT(parse_build_config(R"({"EntryPoint":["/app"]})").error().message(),
              HasSubstr("\"EntryPoint\" is not known"));
  EXPECT_THAT(parse_build_config(R"({"Env":["PATH"]})").error().message(), HasSubstr("expected NAME=value"));
  EXPECT_THAT(parse_build_config(R"({"WorkingDir":"srv"})").error().message(), HasSubstr("not an absolute path"));
}

TEST(BuildConfigTest, WritesWhatItReads) {
  auto config = parse_build_config(
      R"({"Entrypoint":["/app","\"\n"],"Cmd":["x"],"Env":["A=1","B=2"],"User":"me","WorkingDir":"/srv",
    "ExposedPorts":{"2/tcp":{},"1/tcp":{}},"Volumes":{"/v":{}},"StopSignal":"SIGINT","Labels":{"k":"v"}})");
  ASSERT_TRUE(config) << config.error().message();
  config->diff_ids.push_back(digest_of("layer"));
  config->created = "1970-01-01T00:00:00Z";
  std::string json = to_json(*config);
  EXPECT_EQ(json, to_json(*config));
  auto again = parse_image_config(json);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(to_json(*again), json);
  EXPECT_EQ(again->entrypoint, config->entrypoint);
  EXPECT_EQ(again->exposed_ports, config->exposed_ports);
}

std::string descriptor(std::string_view type, std::string_view extra = "") {
  return cat(R"({"mediaType":")", type, R"(","digest":")", kDiff, R"(","size":5)", extra, "}");
}

TEST(DocumentTest, ReadsManifestAndIndexInBothDialects) {
  auto manifest = parse_document(cat(R"({"schemaVersion":2,"config":)", descriptor(kOciConfig), R"(,"layers":[)",
                                     descriptor("application/vnd.oci.image.layer.v1.tar+zstd"), "]}"),
                                 kOciManifest);
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_FALSE(manifest->is_index);
  EXPECT_EQ(manifest->layers.size(), 1U);

  constexpr char kDocker[] = "application/vnd.docker.distribution.manifest.v2+json";
  auto docker = parse_document(cat(R"({"schemaVersion":2,"mediaType":")", kDocker, R"(","config":)",
                                   descriptor("application/vnd.docker.container.image.v1+json"), R"(,"layers":[)",
                                   descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip"), "]}"),
                               kDocker);
  ASSERT_TRUE(docker) << docker.error().message();

  auto index = parse_document(
      cat(R"({"schemaVersion":2,"manifests":[)",
          descriptor(kOciManifest, R"(,"platform":{"os":"linux","architecture":"s390x"})"), ",",
          descriptor(kOciManifest, R"(,"platform":{"os":"unknown","architecture":"unknown"})"), ",",
          descriptor(kOciManifest,
                     cat(R"(,"platform":{"os":"linux","variant":"v9","architecture":")", kHostArchitecture, "\"}")),
          ",", descriptor(kOciManifest, cat(R"(,"platform":{"os":"linux","architecture":")", kHostArchitecture, "\"}")),
          "]}"),
      "");
  ASSERT_TRUE(index) << index.error().message();
  ASSERT_TRUE(index->is_index);
  auto fitting = for_this_machine(index->manifests);
  ASSERT_EQ(fitting.size(), 2U);
  EXPECT_EQ(fitting[0].platform->variant, "") << "the variant that every machine can run comes first";
}

TEST(DocumentTest, RefusesWhatTwoReadersCouldTakeForTwoThings) {
  const std::string config = descriptor(kOciConfig);
  const std::string layer = descriptor(kOciLayer);
  const std::string good = cat(R"("config":)", config, R"(,"layers":[)", layer, "]");
  struct Case {
    std::string text;
    const char* type;
    const char* why;
  } cases[] = {
      {cat(R"({"schemaVersion":2,"manifests":[],)", good, "}"), kOciManifest, "both \"manifests\" and"},
      {cat(R"({"schemaVersion":2,"manifests":[],"Layers":[]})"), kOciIndex, "both \"manifests\" and"},
      {cat(R"({"schemaVersion":2,"MANIFESTS":[],)", good, "}"), kOciManifest, "both \"manifests\" and"},
      {cat(R"({"schemaVersion":2,"manifests":[]})"), kOciManifest, "has \"manifests\""},
      {cat(R"({"schemaVersion":2,)", good, "}"), kOciIndex, "has \"layers\""},
      {cat(R"({"schemaVersion":2,"mediaType":")", kOciIndex, "\",", good, "}"), kOciManifest, "it calls itself"},
      {cat(R"({"schemaVersion":1,)", good, "}"), kOciManifest, "\"schemaVersion\" is not 2"},
      {cat("{", good, "}"), kOciManifest, "\"schemaVersion\" is not 2"},
      {R"({"schemaVersion":2,"layers":[]})", kOciManifest, "\"config\" is missing"},
      {cat(R"({"schemaVersion":2,)", good, "}"), "application/json", "media type \"application/json\""},
      {cat(R"({"schemaVersion":2,"config":)", descriptor("application/vnd.cncf.helm.config.v1+json"),
           R"(,"layers":[]})"),
       kOciManifest, "no container image"},
      {cat(R"({"schemaVersion":2,"config":)", config, R"(,"layers":[)", descriptor("text/plain"), "]}"), kOciManifest,
       "expected a tar archive"},
      {R"({"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:../x","size":1},"layers":[]})", kOciManifest,
       "64 lower-case hex"},
      {R"({"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:../x","size":-1},"layers":[]})", kOciManifest,
       "whole number"},
  };
  for (const Case& one : cases) {
    auto document = parse_document(one.text, one.type);
    ASSERT_FALSE(document) << one.text;
    EXPECT_THAT(document.error().message(), HasSubstr(one.why)) << one.text;
  }
}

TEST(DocumentTest, ChainIdsAreThoseOfTheSpecification) {
  Digest a = digest_of("a");
  Digest b = digest_of("b");
  EXPECT_EQ(chain_id(std::nullopt, a), a);
  EXPECT_EQ(chain_id(a, b), digest_of(cat(a.to_string(), " ", b.to_string())));
}

}  // namespace
}  // namespace gantry::images
