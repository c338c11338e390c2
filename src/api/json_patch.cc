// SPDX-License-Identifier: Apache-2.0
#include "api/json_patch.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/json.h"
#include "api/strict.h"
#include "api/text.h"

namespace gantry::api {

namespace {

std::unexpected<Error> refuse(std::string message) { return fail(Code::kFailedPrecondition, std::move(message)); }

std::string unescaped(std::string_view token) {
  std::string out;
  for (size_t i = 0; i < token.size(); ++i) {
    const char next = i + 1 < token.size() ? token[i + 1] : '\0';
    if (token[i] != '~' || (next != '0' && next != '1')) {
      out += token[i];
      continue;
    }
    out += next == '0' ? '~' : '/';
    ++i;
  }
  return out;
}

// A place in a document: a list or object, and what in it is meant.
struct Place {
  Value* container;
  std::string key;
  size_t depth;  // of the container; the document has 0
};

class Patcher {
 public:
  Patcher(Value* document, const JsonPatchLimits& limits) : document_(document), limits_(limits) {}

  Status apply(const Value& operation) {
    const std::string* op = text_of(operation, "op");
    const std::string_view kind = op != nullptr ? std::string_view(*op) : "unknown";
    if (kind == "add") return add(operation);
    if (kind == "remove") return remove(operation);
    if (kind == "replace") return replace(operation);
    if (kind == "move") return move(operation);
    if (kind == "copy") return copy(operation);
    if (kind == "test") return test(operation);
    return refuse(cat("Unexpected kind: ", as_utf8(kind, 64)));
  }

 private:
  static const std::string* text_of(const Value& operation, std::string_view member) {
    const Value* value = operation.find(member);
    return value == nullptr ? nullptr : value->as_string();
  }

  static Result<std::string> pointer(const Value& operation, std::string_view member) {
    const std::string* text = text_of(operation, member);
    if (text != nullptr) return *text;
    const std::string* op = text_of(operation, "op");
    return refuse(cat(op != nullptr ? *op : "", " operation failed to decode ", member, ": missing value"));
  }

  static Value value_of(const Value& operation) {
    const Value* value = operation.find("value");
    return value == nullptr ? Value() : *value;
  }

  // Counts what is walked over, so that ten thousand operations on a huge document come to an end.
  Status charge(size_t work) {
    work_ += work;
    if (work_ <= limits_.work) return {};
    return fail(Code::kResourceExhausted, "the JSON patch takes too many steps on a document of this size");
  }

  Status charge_for(const Value& value) {
    size_t size = 1;
    if (const Value::List* list = value.as_list()) size += list->size();
    if (const Value::Object* object = value.as_object()) size += object->size();
    return charge(size);
  }

  // As charge_for, for all that is in it.
  Status charge_for_all(const Value& value) {
    if (Status status = charge_for(value); !status) return status;
    if (const Value::List* list = value.as_list()) {
      for (const Value& element : *list) {
        if (Status status = charge_for_all(element); !status) return status;
      }
    }
    if (const Value::Object* object = value.as_object()) {
      for (const Value::Member& member : *object) {
        if (Status status = charge_for_all(member.value); !status) return status;
      }
    }
    return {};
  }

  // The index that the text is in a list, which counts from the end when it is negative. `size` is what a negative one
  // is added to, and the first that is too large.
  static Result<size_t> index_in(const std::string& text, size_t size) {
    int64_t index = 0;
    const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, index);
    if (error != std::errc() || stop != end) {
      return refuse(cat("value was not a proper array index: '", as_utf8(text, 64), "'"));
    }
    const auto length = static_cast<int64_t>(size);
    if (index >= length || index < -length) {
      return refuse(cat("Unable to access invalid index: ", index, ": invalid index referenced"));
    }
    return static_cast<size_t>(index < 0 ? index + length : index);
  }

  // Null when there is no such member or element, and an error when there can't be.
  Result<Value*> find(const Place& place) {
    if (Status status = charge(place.container->is_object() ? place.container->as_object()->size() : 1); !status) {
      return std::unexpected(status.error());
    }
    if (place.container->is_object()) return place.container->find(place.key);
    Value::List& list = *place.container->as_list();
    Result<size_t> index = index_in(place.key, list.size());
    if (!index) return std::unexpected(index.error());
    return &list[*index];
  }

  // Where the pointer leads, up to its last step. The container is null when there is none.
  Result<Place> resolve(const std::string& path) {
    Place place{nullptr, {}, 0};
    if (!path.starts_with('/')) return place;
    Place at{document_, {}, 0};
    size_t begin = 1;
    for (;;) {
      const size_t slash = path.find('/', begin);
      at.key = unescaped(std::string_view(path).substr(begin, slash == path.npos ? slash : slash - begin));
      if (slash == path.npos) return at;
      Result<Value*> next = find(at);
      if (!next && next.error().is_resource()) return std::unexpected(next.error());
      if (!next || *next == nullptr || (!(*next)->is_object() && !(*next)->is_list())) return place;
      at.container = *next;
      ++at.depth;
      begin = slash + 1;
    }
  }

  Status insert(const Place& place, Value value) {
    if (place.depth + 1 + depth_of(value) > limits_.depth) {
      return fail(Code::kResourceExhausted,
                  cat("more than ", limits_.depth, " lists and objects inside one another after the JSON patch"));
    }
    if (Status status = charge_for(*place.container); !status) return status;
    if (place.container->is_object()) {
      (*place.container)[place.key] = std::move(value);
      return {};
    }
    Value::List& list = *place.container->as_list();
    if (place.key == "-") {
      list.push_back(std::move(value));
      return {};
    }
    Result<size_t> index = index_in(place.key, list.size() + 1);
    if (!index) return std::unexpected(index.error());
    list.insert(list.begin() + static_cast<std::ptrdiff_t>(*index), std::move(value));
    return {};
  }

  // Takes it out of the document.
  Result<Value> take(const Place& place) {
    Result<Value*> found = find(place);
    if (!found) return std::unexpected(found.error());
    if (*found == nullptr) {
      return refuse(cat("Unable to remove nonexistent key: ", as_utf8(place.key, 256), ": missing value"));
    }
    Value value = std::move(**found);
    if (Value::Object* object = place.container->as_object()) {
      std::erase_if(*object, [&](const Value::Member& member) { return member.key == place.key; });
    } else {
      Value::List& list = *place.container->as_list();
      list.erase(list.begin() + (*found - list.data()));
    }
    return value;
  }

  static std::unexpected<Error> missing(std::string_view operation, std::string_view what, const std::string& path) {
    return refuse(cat(operation, " operation does not apply: doc is missing ", what, ": \"", as_utf8(path, 1024),
                      "\": missing value"));
  }

  static std::unexpected<Error> failed(const Error& error, std::string_view operation, const std::string& path) {
    if (error.is_resource()) return std::unexpected(error);
    return refuse(cat("error in ", operation, " for path: '", as_utf8(path, 1024), "': ", error.message()));
  }

  Status add(const Value& operation) {
    Result<std::string> path = pointer(operation, "path");
    if (!path) return std::unexpected(path.error());
    Result<Place> place = resolve(*path);
    if (!place) return std::unexpected(place.error());
    if (place->container == nullptr) return missing("add", "path", *path);
    Status status = insert(*place, value_of(operation));
    if (!status) return failed(status.error(), "add", *path);
    return {};
  }

  Status remove(const Value& operation) {
    Result<std::string> path = pointer(operation, "path");
    if (!path) return std::unexpected(path.error());
    Result<Place> place = resolve(*path);
    if (!place) return std::unexpected(place.error());
    if (place->container == nullptr) return missing("remove", "path", *path);
    Result<Value> taken = take(*place);
    if (!taken) return failed(taken.error(), "remove", *path);
    return {};
  }

  Status replace(const Value& operation) {
    Result<std::string> path = pointer(operation, "path");
    if (!path) return std::unexpected(path.error());
    if (path->empty()) {
      Value value = value_of(operation);
      if (!value.is_object() && !value.is_list()) return refuse("replace operation value must be object or array");
      *document_ = std::move(value);
      return {};
    }
    Result<Place> place = resolve(*path);
    if (!place) return std::unexpected(place.error());
    if (place->container == nullptr) return missing("replace", "path", *path);
    if (place->container->is_object()) return insert(*place, value_of(operation));
    Result<Value*> found = find(*place);
    if (!found && found.error().is_resource()) return std::unexpected(found.error());
    if (!found) return missing("replace", "key", *path);
    Value value = value_of(operation);
    if (place->depth + 1 + depth_of(value) > limits_.depth) {
      return fail(Code::kResourceExhausted,
                  cat("more than ", limits_.depth, " lists and objects inside one another after the JSON patch"));
    }
    **found = std::move(value);
    return {};
  }

  Status move(const Value& operation) {
    Result<std::string> from = pointer(operation, "from");
    if (!from) return std::unexpected(from.error());
    Result<Place> source = resolve(*from);
    if (!source) return std::unexpected(source.error());
    if (source->container == nullptr) return missing("move", "from path", *from);
    Result<std::string> path = pointer(operation, "path");
    if (!path) return std::unexpected(path.error());
    Result<Value> value = take(*source);
    if (!value) return failed(value.error(), "move", *from);
    Result<Place> place = resolve(*path);
    if (!place) return std::unexpected(place.error());
    if (place->container == nullptr) return missing("move", "destination path", *path);
    if (Status status = charge_for_all(*value); !status) return status;
    Status status = insert(*place, std::move(*value));
    if (!status) return failed(status.error(), "move", *path);
    return {};
  }

  Status copy(const Value& operation) {
    Result<std::string> from = pointer(operation, "from");
    if (!from) return std::unexpected(from.error());
    Result<Place> source = resolve(*from);
    if (!source) return std::unexpected(source.error());
    if (source->container == nullptr) return missing("copy", "from path", *from);
    Result<Value*> found = find(*source);
    if (!found) return failed(found.error(), "copy", *from);
    Result<std::string> path = pointer(operation, "path");
    if (!path) return std::unexpected(path.error());
    Value value = *found == nullptr ? Value() : **found;
    copied_ += write_json(value).size();
    if (copied_ > limits_.copied_bytes) {
      return fail(Code::kResourceExhausted,
                  cat("Unable to complete the copy, the accumulated size increase of copy is ", copied_,
                      ", exceeding the limit ", limits_.copied_bytes));
    }
    Result<Place> place = resolve(*path);
    if (!place) return std::unexpected(place.error());
    if (place->container == nullptr) return missing("copy", "destination path", *path);
    Status status = insert(*place, std::move(value));
    if (!status) return failed(status.error(), "copy", *path);
    return {};
  }

  Status test(const Value& operation) {
    Result<std::string> path = pointer(operation, "path");
    if (!path) return std::unexpected(path.error());
    const Value* found = document_;
    if (!path->empty()) {
      Result<Place> place = resolve(*path);
      if (!place) return std::unexpected(place.error());
      if (place->container == nullptr) return missing("test", "path", *path);
      Result<Value*> value = find(*place);
      if (!value) return failed(value.error(), "test", *path);
      found = *value;
    }
    const Value expected = value_of(operation);
    if (found == nullptr && expected.is_null()) return {};
    if (found != nullptr) {
      if (Status status = charge_for_all(*found); !status) return status;
      if (*found == expected) return {};
    }
    return refuse(cat("testing value ", as_utf8(*path, 1024), " failed: test failed"));
  }

  Value* document_;
  const JsonPatchLimits& limits_;
  size_t copied_ = 0;
  size_t work_ = 0;
};

}  // namespace

Result<Value> apply_json_patch(Value document, const Value& patch, const JsonPatchLimits& limits) {
  const Value::List* operations = patch.as_list();
  if (operations == nullptr) {
    return invalid_argument(cat("a JSON patch is a list of operations, found ", describe(patch)));
  }
  for (const Value& operation : *operations) {
    if (operation.is_object()) continue;
    return invalid_argument(cat("an operation of a JSON patch is an object, found ", describe(operation)));
  }
  if (operations->size() > limits.operations) {
    return fail(Code::kResourceExhausted, cat("The allowed maximum operations in a JSON patch is ", limits.operations,
                                              ", got ", operations->size()));
  }
  if (!document.is_object() && !document.is_list()) {
    return invalid_argument(cat("a JSON patch applies to an object or a list, found ", describe(document)));
  }
  const Value clean = without_duplicates(patch);
  Patcher patcher(&document, limits);
  for (const Value& operation : *clean.as_list()) {
    if (Status status = patcher.apply(operation); !status) return std::unexpected(status.error());
  }
  return document;
}

}  // namespace gantry::api
