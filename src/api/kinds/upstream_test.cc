// SPDX-License-Identifier: Apache-2.0
// The same documents, given to us and to upstream's API server: what it made of them stands in testdata (README.md
// there says how it was asked). Defaults must be equal as values, refusals must name the same fields for the same
// reasons, and rows must have the same cells.
#include <gmock/gmock.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "api/codec.h"
#include "api/json.h"
#include "api/kinds/all.h"
#include "api/object_meta.h"
#include "api/yaml.h"
#include "base/text.h"
#include "kubernetes/meta/v1/meta.pb.h"

namespace gantry::api {
namespace {

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string_view cause_of(FieldProblem::Kind kind) {
  switch (kind) {
    case FieldProblem::Kind::kRequired:
      return "FieldValueRequired";
    case FieldProblem::Kind::kNotSupported:
      return "FieldValueNotSupported";
    case FieldProblem::Kind::kDuplicate:
      return "FieldValueDuplicate";
    case FieldProblem::Kind::kNotFound:
      return "FieldValueNotFound";
    case FieldProblem::Kind::kForbidden:
      return "FieldValueForbidden";
    case FieldProblem::Kind::kTooLong:
      return "FieldValueTooLong";
    default:
      return "FieldValueInvalid";
  }
}

const Value& member(const Value& object, std::string_view key) {
  static const Value null;
  const Value* found = object.find(key);
  return found == nullptr ? null : *found;
}

std::string text_of(const Value& value) { return value.as_string() == nullptr ? "" : *value.as_string(); }

// What the server adds to the metadata of any object, and times of conditions, which are now.
void drop_what_differs(Value* object) {
  if (Value* status = object->find("status"); status != nullptr && status->find("conditions") != nullptr) {
    for (Value& condition : *status->find("conditions")->as_list()) {
      std::erase_if(*condition.as_object(), [](const Value::Member& m) { return m.key == "lastTransitionTime"; });
    }
  }
  Value* meta = object->find("metadata");
  if (meta == nullptr || !meta->is_object()) return;
  std::erase_if(*meta->as_object(), [](const Value::Member& m) {
    return m.key == "uid" || m.key == "creationTimestamp" || m.key == "generation";
  });
}

struct Outcome {
  std::set<std::string> refusals;  // "FieldValueRequired spec.x"
  Value object;
  std::vector<Value> cells;
};

std::unique_ptr<Message> read(const Kind& kind, const Value& document) {
  std::unique_ptr<Message> message = kind.make();
  const Status status = decode(document, message.get());
  EXPECT_TRUE(status) << (status ? "" : status.error().message());
  if (kind.set_defaults) kind.set_defaults(message.get());
  EXPECT_TRUE(normalize(message.get()));
  return message;
}

const ObjectMeta& meta_of(const Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("metadata");
  return static_cast<const ObjectMeta&>(message.GetReflection()->GetMessage(message, field));
}

// Through the main resource all but status, and the reverse, as the server does by itself.
void take_back(const Message& old, Message* updated, bool status) {
  const auto* descriptor = old.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    if (field->name() == "metadata" || (field->name() == "status") == status) continue;
    updated->GetReflection()->ClearField(updated, field);
    if (field->is_repeated() || !old.GetReflection()->HasField(old, field)) continue;
    updated->GetReflection()->MutableMessage(updated, field)->CopyFrom(old.GetReflection()->GetMessage(old, field));
  }
}

Outcome consider(const Kind& kind, const Value& question) {
  const std::string operation = text_of(member(question, "op"));
  std::unique_ptr<Message> object = read(kind, member(question, "object"));
  FieldProblems problems;
  const auto add = [&](const FieldProblems& more) { problems.insert(problems.end(), more.begin(), more.end()); };
  if (operation == "create") {
    if (kind.has_status) take_back(*kind.make(), object.get(), false);
    if (kind.prepare_create) kind.prepare_create(object.get());
    add(validate_object_meta(meta_of(*object), kind.namespaced, kind.check_name));
    if (kind.validate) add(kind.validate(*object));
  } else if (operation.starts_with("update")) {
    const std::unique_ptr<Message> old = read(kind, member(question, "old"));
    const size_t slash = operation.find('/');
    const std::string name = slash == std::string::npos ? "" : operation.substr(slash + 1);
    const UpdateRules& rules = name.empty() ? kind.update : *kind.find_subresource(name)->update;
    if (rules.prepare) {
      rules.prepare(*old, object.get());
    } else if (name == "status") {
      take_back(*old, object.get(), true);
    } else if (kind.has_status) {
      take_back(*old, object.get(), false);
    }
    add(validate_object_meta_update(meta_of(*old), meta_of(*object)));
    if (!rules.changes_alone && kind.validate) add(kind.validate(*object));
    if (rules.validate) add(rules.validate(*old, *object));
  }
  EXPECT_TRUE(normalize(object.get()));
  Outcome outcome;
  for (const FieldProblem& problem : problems) outcome.refusals.insert(cat(cause_of(problem.kind), " ", problem.path));
  outcome.object = encode(*object);
  if (kind.table.row) outcome.cells = kind.table.row(*object, 0);
  return outcome;
}

class Upstream : public testing::TestWithParam<std::string> {};

TEST_P(Upstream, MakesTheSameOfEveryDocument) {
  const Kinds kinds(all_kinds());
  const std::filesystem::path folder(GANTRY_TESTDATA);
  const auto questions = parse_yaml(contents(folder / cat(GetParam(), ".yaml")));
  const auto answers = parse_json(contents(folder / cat(GetParam(), ".answers.json")));
  ASSERT_TRUE(questions) << questions.error().message();
  ASSERT_TRUE(answers) << answers.error().message();
  ASSERT_EQ(questions->size(), answers->as_list()->size()) << "make the answers anew";
  for (size_t i = 0; i < questions->size(); ++i) {
    const Value& question = (*questions)[i];
    const Value& answer = (*answers->as_list())[i];
    SCOPED_TRACE(cat("document ", i + 1, " of ", GetParam(), ", line ", question.position().line));
    const Value& document = member(question, "object");
    const std::string version = text_of(member(document, "apiVersion"));
    const size_t slash = version.find('/');
    const Kind* kind = kinds.find_kind({slash == std::string::npos ? "" : version.substr(0, slash),
                                        slash == std::string::npos ? version : version.substr(slash + 1),
                                        text_of(member(document, "kind"))});
    ASSERT_NE(kind, nullptr);
    const Outcome ours = consider(*kind, question);
    std::set<std::string> theirs;
    if (const Value::List* errors = member(answer, "errors").as_list()) {
      for (const Value& error : *errors) {
        theirs.insert(cat(text_of(member(error, "type")), " ", text_of(member(error, "field"))));
      }
    }
    EXPECT_EQ(ours.refusals, theirs);
    if (theirs.empty()) {
      Value a = ours.object;
      Value b = member(answer, "object");
      drop_what_differs(&a);
      drop_what_differs(&b);
      EXPECT_TRUE(a == b) << "ours   " << write_json(a) << "\ntheirs " << write_json(b);
    }
    // Upstream's row of a kind that has no columns of its own is made elsewhere.
    if (text_of(member(question, "op")) == "default" && member(answer, "cells").is_list()) {
      EXPECT_TRUE(Value(ours.cells) == member(answer, "cells"))
          << "ours   " << write_json(Value(ours.cells)) << "\ntheirs " << write_json(member(answer, "cells"));
    }
  }
}

std::vector<std::string> files() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(GANTRY_TESTDATA)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem());
  }
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Kinds, Upstream, testing::ValuesIn(files()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace gantry::api
