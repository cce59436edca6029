# Chronos. `make help` lists the targets.
#
# Everything is built below BUILD. Sanitized and fuzzed builds are this Makefile again with another BUILD and SANITIZE.
BUILD    ?= build
CC       ?= gcc
SANITIZE ?=
PREFIX   ?= /usr/local
DESTDIR  ?=
DIR      ?= chronos-data
LISTEN   ?= 127.0.0.1:8080
MOUNT    ?= mnt

OPTIMIZE ?= -O2
ALL_CPPFLAGS := -D_GNU_SOURCE -Isrc -I. -I/usr/include/fuse3 $(CPPFLAGS)
ALL_CFLAGS   := -std=gnu11 $(OPTIMIZE) -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fPIC \
                -fvisibility=hidden -fno-omit-frame-pointer -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS)
ALL_LDFLAGS  := -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)
LIB_LIBS     := -llz4 -lzstd
LIBS         := $(LIB_LIBS) -lfuse3 -lhiredis -ledit

# The layers: the library, the doors, the program. main.c is left out of what the tests link.
LIB_SRC   := $(wildcard src/base/*.c src/env/*.c src/engine/*.c src/object/*.c)
DOOR_SRC  := $(wildcard net/*.c fs/*.c)
CLI_SRC   := $(filter-out src/cli/main.c,$(wildcard src/cli/*.c))
objects    = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
UNIT      := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
CRASH     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/crash/*.c))
BENCH     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
FUZZ      := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))

.DEFAULT_GOAL := all
.PHONY: all help deps run test test-asan test-tsan unit unit-binaries crash-binaries fuzz-binaries fuzz bench lint format install uninstall clean

all: $(BUILD)/chronos $(BUILD)/libchronos.a $(BUILD)/libchronos.so ## build program and library

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing
	@.ci/deps

run: deps ## install what is missing, build, serve and mount (DIR=, LISTEN=, MOUNT=)
	@$(MAKE) --no-print-directory all
	@mkdir -p "$(MOUNT)" 2>/dev/null || true
	@exec $(BUILD)/chronos serve --dir "$(DIR)" --listen "$(LISTEN)" --mount "$(MOUNT)"

test: deps ## install what is missing, build and run all tests
	@tests/run

test-asan: deps ## unit tests under AddressSanitizer and UBSan
	@tests/run asan

test-tsan: deps ## unit tests under ThreadSanitizer
	@tests/run tsan

fuzz: deps ## run every fuzz target for SECONDS each (default 300)
	@tests/run fuzz

bench: deps ## compare with RocksDB and Redis, in turn, in the same run
	@$(MAKE) --no-print-directory all $(BENCH)
	@BUILD=$(BUILD) tests/bench/run

lint: deps ## clang-format, clang-tidy and shellcheck
	@.ci/lint

format: deps ## format the sources in place
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: all ## install below PREFIX (default /usr/local; DESTDIR is honoured)
	install -D -m 755 $(BUILD)/chronos $(DESTDIR)$(PREFIX)/bin/chronos
	install -D -m 644 src/chronos.h $(DESTDIR)$(PREFIX)/include/chronos.h
	install -D -m 644 $(BUILD)/libchronos.a $(DESTDIR)$(PREFIX)/lib/libchronos.a
	install -D -m 755 $(BUILD)/libchronos.so $(DESTDIR)$(PREFIX)/lib/libchronos.so.0
	ln -sf libchronos.so.0 $(DESTDIR)$(PREFIX)/lib/libchronos.so
	install -D -m 644 src/cli/chronos.1 $(DESTDIR)$(PREFIX)/share/man/man1/chronos.1
	install -d $(DESTDIR)/sbin
	ln -sf $(PREFIX)/bin/chronos $(DESTDIR)/sbin/mount.chronos
	if [ -z "$(DESTDIR)" ]; then ldconfig; fi

uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/chronos include/chronos.h lib/libchronos.a lib/libchronos.so lib/libchronos.so.0 \
	      share/man/man1/chronos.1) $(DESTDIR)/sbin/mount.chronos

clean: ## remove what was built
	rm -rf build

unit: unit-binaries ## build and run the unit tests of BUILD alone
	@for t in $(UNIT); do echo "$$t"; $$t || exit 1; done
unit-binaries: $(UNIT)
crash-binaries: $(CRASH)
fuzz-binaries: $(FUZZ)

# ---- the library: one object, in which only chr_* is global ----

$(BUILD)/libchronos.a: $(call objects,$(LIB_SRC))
	ld -r -o $(BUILD)/chronos.o $^
	objcopy --localize-hidden $(BUILD)/chronos.o
	rm -f $@
	ar rcs $@ $(BUILD)/chronos.o

$(BUILD)/libchronos.so: $(call objects,$(LIB_SRC))
	$(CC) -shared -Wl,-soname,libchronos.so.0 $(ALL_LDFLAGS) -o $@ $^ $(LIB_LIBS)

$(BUILD)/chronos: $(call objects,src/cli/main.c) $(BUILD)/libinternal.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# ---- what tests link: everything but main ----

$(BUILD)/libinternal.a: $(call objects,$(LIB_SRC) $(DOOR_SRC) $(CLI_SRC))
	rm -f $@
	ar rcs $@ $^

$(UNIT): $(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(CRASH): $(BUILD)/tests/crash/%: $(BUILD)/obj/tests/crash/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(BENCH): $(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(if $(findstring bench_engine,$@),-lrocksdb)

$(FUZZ): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(CC) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
