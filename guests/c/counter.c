// A number that survives everything: a class of durabo in C.
//
// `increment`, `add` and `get` over RPC, the number as text over HTTP. C waits where it calls, so an object of
// this class takes one event at a time. `counter.h` is made from `counter.wit` by wit-bindgen, which also frees
// what an export has returned; so every text and list that is returned is allocated.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counter.h"

typedef durabo_object_types_failure_t failure;

// What the class says about itself; the node reads it at upload (docs/reference/runtime.md).
__asm__(".section .custom_section.durabo.describe,\"\",@\n"
        ".ascii \"{\\\"durabo\\\":1,\\\"class\\\":\\\"Counter\\\",\\\"handlers\\\":[\\\"http\\\",\\\"rpc\\\"],"
        "\\\"doc\\\":\\\"A counter that never goes below zero.\\\",\\\"methods\\\":["
        "{\\\"name\\\":\\\"increment\\\",\\\"params\\\":[]},"
        "{\\\"name\\\":\\\"add\\\",\\\"params\\\":[{\\\"name\\\":\\\"by\\\"}]},"
        "{\\\"name\\\":\\\"get\\\",\\\"params\\\":[]}]}\\n\"\n"
        ".text\n");

// A text for reading only.
static counter_string_t text(const char *chars) {
  return (counter_string_t){(uint8_t *)chars, strlen(chars)};
}

// A text to be returned.
static counter_string_t owned(const char *chars, size_t len) {
  uint8_t *copy = malloc(len ? len : 1);
  if (!copy) abort();
  memcpy(copy, chars, len);
  return (counter_string_t){copy, len};
}

static bool equals(counter_string_t a, const char *b) {
  return a.len == strlen(b) && memcmp(a.ptr, b, a.len) == 0;
}

static bool fail(failure *err, uint8_t kind, const char *code, const char *name, const char *message, size_t len) {
  *err = (failure){.kind = kind,
                   .code = owned(code, strlen(code)),
                   .name = owned(name, strlen(name)),
                   .message = owned(message, len)};
  return false;
}

// Runs a statement that returns at most one row, whose first value is an integer.
static bool sql(const char *query, const int64_t *binding, int64_t *value, failure *err) {
  durabo_object_sql_value_t bound = {.tag = DURABO_OBJECT_SQL_VALUE_INTEGER, .val.integer = binding ? *binding : 0};
  durabo_object_sql_list_value_t bindings = {&bound, binding ? 1 : 0};
  durabo_object_sql_result_set_t result;
  durabo_object_sql_error_t error;
  counter_string_t statement = text(query);
  if (!durabo_object_sql_exec(&statement, &bindings, 1, &result, &error)) {
    fail(err, DURABO_OBJECT_TYPES_FAILURE_KIND_STORAGE, "", "Error", (char *)error.message.ptr, error.message.len);
    durabo_object_sql_error_free(&error);
    return false;
  }
  if (value) *value = result.rows.len ? result.rows.ptr[0].val.integer : 0;
  durabo_object_sql_result_set_free(&result);
  return true;
}

// Reads the one argument from a CBOR array: an integer of up to 32 bits is all that this class takes.
static bool integer_argument(const counter_list_u8_t *args, int64_t *value) {
  const uint8_t *at = args->ptr, *end = at + args->len;
  if (at == end || *at++ < 0x81 || at[-1] > 0x97 || at == end) return false;
  uint8_t kind = *at >> 5, info = *at & 31;
  at++;
  size_t more = info < 24 ? 0 : (size_t)1 << (info - 24);
  if (kind > 1 || info > 26 || (size_t)(end - at) < more) return false;
  uint32_t number = info < 24 ? info : 0;
  for (size_t i = 0; i < more; i++) number = number << 8 | at[i];
  *value = kind == 0 ? (int64_t)number : -1 - (int64_t)number;
  return true;
}

// The CBOR of an integer.
static counter_list_u8_t cbor(int64_t value) {
  uint8_t bytes[9] = {value < 0 ? 0x3b : 0x1b};
  uint64_t number = value < 0 ? (uint64_t)(-1 - value) : (uint64_t)value;
  for (int i = 0; i < 8; i++) bytes[1 + i] = (uint8_t)(number >> (56 - 8 * i));
  counter_string_t copy = owned((char *)bytes, sizeof bytes);
  return (counter_list_u8_t){copy.ptr, copy.len};
}

bool exports_durabo_object_lifecycle_start(exports_durabo_object_lifecycle_start_info_t *info, failure *err) {
  exports_durabo_object_lifecycle_start_info_free(info);
  return sql("CREATE TABLE IF NOT EXISTS counter "
             "(id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER NOT NULL CHECK (n >= 0))", NULL, NULL, err)
      && sql("INSERT OR IGNORE INTO counter (id, n) VALUES (1, 0)", NULL, NULL, err);
}

static bool count(const counter_string_t *method, const counter_list_u8_t *args, int64_t *n, failure *err) {
  int64_t by = 1;
  if (equals(*method, "get")) return sql("SELECT n FROM counter", NULL, n, err);
  if (equals(*method, "add")) {
    static const char wrong[] = "`add` takes an integer of at most 32 bits";
    if (!integer_argument(args, &by))
      return fail(err, DURABO_OBJECT_TYPES_FAILURE_KIND_APPLICATION, "", "TypeError", wrong, sizeof wrong - 1);
  } else if (!equals(*method, "increment")) {
    char message[256];
    int len = snprintf(message, sizeof message, "The RPC receiver does not implement the method \"%.*s\".",
                       method->len < 128 ? (int)method->len : 128, (const char *)method->ptr);
    return fail(err, DURABO_OBJECT_TYPES_FAILURE_KIND_NOT_FOUND, "method-not-found", "TypeError", message, (size_t)len);
  }
  return sql("UPDATE counter SET n = n + ? RETURNING n", &by, n, err);
}

bool exports_durabo_object_rpc_handler_call(counter_string_t *method, counter_list_u8_t *args, counter_list_u8_t *ret,
                                            failure *err) {
  int64_t n;
  bool done = count(method, args, &n, err);
  if (done) *ret = cbor(n);
  counter_string_free(method);
  counter_list_u8_free(args);
  return done;
}

bool exports_durabo_object_http_handler_fetch(durabo_object_http_request_t *request,
                                              durabo_object_http_response_t *ret, failure *err) {
  *ret = (durabo_object_http_response_t){.status = 405};
  int64_t n;
  bool reads = equals(request->method, "GET"), done = !reads || sql("SELECT n FROM counter", NULL, &n, err);
  if (reads && done) {
    char body[24];
    int len = snprintf(body, sizeof body, "%" PRId64 "\n", n);
    counter_string_t copy = owned(body, (size_t)len);
    ret->status = 200;
    ret->body = (durabo_object_http_body_t){DURABO_OBJECT_HTTP_BODY_BYTES, {.bytes = {copy.ptr, copy.len}}};
  }
  durabo_object_http_request_free(request);
  return done;
}
