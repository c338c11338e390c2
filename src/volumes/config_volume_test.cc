// SPDX-License-Identifier: Apache-2.0
#include "volumes/config_volume.h"

#include <gtest/gtest.h>

#include <map>

#include "kubernetes/core/v1/config.pb.h"
#include "kubernetes/core/v1/pod.pb.h"
#include "volumes/token_file.h"

namespace gantry::volumes {
namespace {

namespace core = k8s::io::api::core::v1;

class ConfigVolumeTest : public testing::Test {
 protected:
  ConfigVolumeTest() {
    pod_.mutable_metadata()->set_name("web");
    pod_.mutable_metadata()->set_namespace_("default");
    pod_.mutable_metadata()->set_uid("u1");
    core::ConfigMap settings;
    (*settings.mutable_data())["color"] = "red";
    (*settings.mutable_data())["size"] = "7";
    (*settings.mutable_binary_data())["raw"] = std::string("\0\1", 2);
    config_maps_["settings"] = settings;
    (*secrets_["keys"].mutable_data())["key"] = "sesame";
  }
  template <typename T>
  static PayloadInputs::Find<T> finder(const std::map<std::string, T>& all) {
    return [&all](const std::string& name) -> Result<std::shared_ptr<const T>> {
      auto found = all.find(name);
      return found == all.end() ? nullptr : std::make_shared<const T>(found->second);
    };
  }
  // "path=bytes:mode ..." or the error.
  std::string made() {
    const PayloadInputs inputs{
        .pod = pod_,
        .config_map = finder(config_maps_),
        .secret = finder(secrets_),
        .token = [](const core::ServiceAccountTokenProjection& source) -> Result<std::string> {
          return "token-for-" + source.audience();
        },
        .resource = [](const core::ResourceFieldSelector& source) -> Result<std::string> { return source.resource(); }};
    auto payload = payload_of(volume_, inputs);
    if (!payload) return payload.error().message();
    std::string text;
    char mode[8];
    for (const auto& [path, file] : *payload) {
      std::snprintf(mode, sizeof mode, "%o", file.mode);
      text += (text.empty() ? "" : " ") + path + "=" + file.bytes + ":" + mode;
    }
    return text;
  }
  static void add_item(google::protobuf::RepeatedPtrField<core::KeyToPath>* items, const std::string& key,
                       const std::string& path, int mode = 0) {
    auto& item = *items->Add();
    item.set_key(key);
    item.set_path(path);
    if (mode != 0) item.set_mode(mode);
  }

  core::Pod pod_;
  core::Volume volume_;
  std::map<std::string, core::ConfigMap> config_maps_;
  std::map<std::string, core::Secret> secrets_;
};

TEST_F(ConfigVolumeTest, ConfigMaps) {
  auto& source = *volume_.mutable_volume_source()->mutable_config_map();
  source.mutable_local_object_reference()->set_name("settings");
  EXPECT_EQ(made(), "color=red:644 raw=" + std::string("\0\1", 2) + ":644 size=7:644");
  source.set_default_mode(0400);
  add_item(source.mutable_items(), "color", "a/b", 0777);
  add_item(source.mutable_items(), "size", "size");
  EXPECT_EQ(made(), "a/b=red:777 size=7:400");
  add_item(source.mutable_items(), "none", "none");
  EXPECT_EQ(made(), "configmap references non-existent config key: none");
  source.set_optional(true);
  EXPECT_EQ(made(), "a/b=red:777 size=7:400");
  source.mutable_local_object_reference()->set_name("other");
  EXPECT_EQ(made(), "");
  source.set_optional(false);
  EXPECT_EQ(made(), "configmap \"other\" not found");
}

TEST_F(ConfigVolumeTest, Secrets) {
  auto& source = *volume_.mutable_volume_source()->mutable_secret();
  source.set_secret_name("keys");
  EXPECT_EQ(made(), "key=sesame:644");
  add_item(source.mutable_items(), "none", "none");
  EXPECT_EQ(made(), "references non-existent secret key: none");
  source.set_secret_name("other");
  EXPECT_EQ(made(), "secret \"other\" not found");
}

TEST_F(ConfigVolumeTest, FactsAboutThePod) {
  auto& labels = *pod_.mutable_metadata()->mutable_labels();
  labels["b"] = "2";
  labels["a/x"] = "say \"hé\"\n\x01\xff\\";
  auto& source = *volume_.mutable_volume_source()->mutable_downward_api();
  const auto add = [&](const std::string& path, const std::string& field) {
    auto& item = *source.add_items();
    item.set_path(path);
    item.mutable_field_ref()->set_field_path(field);
    return &item;
  };
  add("labels", "metadata.labels");
  add("name", "metadata.name")->set_mode(0400);
  add("one", "metadata.labels['b']");
  add("none", "metadata.annotations['b']");
  auto& limit = *source.add_items();
  limit.set_path("cpu");
  limit.mutable_resource_field_ref()->set_resource("limits.cpu");
  EXPECT_EQ(made(),
            "cpu=limits.cpu:644 labels=a/x=\"say \\\"hé\\\"\\n\\x01\\xff\\\\\"\nb=\"2\":644 name=web:400 none=:644 "
            "one=2:644");
}

TEST_F(ConfigVolumeTest, ProjectedOnesAreAllOfThemAndSayAllThatIsWrong) {
  auto& source = *volume_.mutable_volume_source()->mutable_projected();
  source.set_default_mode(0440);
  source.add_sources()->mutable_config_map()->mutable_local_object_reference()->set_name("settings");
  add_item(source.mutable_sources(0)->mutable_config_map()->mutable_items(), "color", "same");
  source.add_sources()->mutable_secret()->mutable_local_object_reference()->set_name("keys");
  add_item(source.mutable_sources(1)->mutable_secret()->mutable_items(), "key", "same");
  auto& token = *source.add_sources()->mutable_service_account_token();
  token.set_path("token");
  token.set_audience("vault");
  auto& item = *source.add_sources()->mutable_downward_api()->add_items();
  item.set_path("ns");
  item.mutable_field_ref()->set_field_path("metadata.namespace");
  EXPECT_EQ(made(), "ns=default:440 same=sesame:440 token=token-for-vault:440") << "the later one counts";
  const auto names = sources_of(volume_);
  EXPECT_EQ(names.config_maps.size() + names.secrets.size() + names.tokens.size(), 3U);

  source.mutable_sources(1)->mutable_secret()->mutable_items(0)->set_path("token/x");
  EXPECT_EQ(made(), "path \"token/x\": there is a file at \"token\"");
  config_maps_.clear();
  secrets_.clear();
  EXPECT_EQ(made(), "[configmap \"settings\" not found, secret \"keys\" not found]");
}

TEST_F(ConfigVolumeTest, WhoReadsAToken) {
  const auto said = [&] {
    const File file = token_file(pod_, "t", 0644);
    return std::pair(file.mode, file.owner.value_or(0));
  };
  pod_.mutable_spec()->add_containers();
  EXPECT_EQ(said(), std::pair(0644U, 0U));
  pod_.mutable_spec()->mutable_containers(0)->mutable_security_context()->set_run_as_user(7);
  EXPECT_EQ(said(), std::pair(0600U, 7U));
  pod_.mutable_spec()->add_init_containers();
  EXPECT_EQ(said(), std::pair(0644U, 0U)) << "one has its image's user";
  pod_.mutable_spec()->mutable_security_context()->set_run_as_user(8);
  EXPECT_EQ(said(), std::pair(0644U, 0U)) << "there are two";
  pod_.mutable_spec()->mutable_security_context()->set_run_as_user(7);
  EXPECT_EQ(said(), std::pair(0600U, 7U));
  pod_.mutable_spec()->mutable_security_context()->clear_run_as_user();
  pod_.mutable_spec()->mutable_security_context()->set_fs_group(9);
  EXPECT_EQ(said(), std::pair(0600U, 0U));
}

}  // namespace
}  // namespace gantry::volumes
