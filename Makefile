# Chronos. `make help` lists the targets.
#
# Everything is built below BUILD. Sanitized and fuzzed builds are this Makefile again with another BUILD and SANITIZE.
BUILD    ?= build
ifeq ($(origin CC),default)
CC       := gcc
endif
SANITIZE ?=
OPTIMIZE ?= -O2
PREFIX   ?= /usr/local
DESTDIR  ?=
DIR      ?= chronos-data
PORT     ?= 8080
LISTEN   ?= 127.0.0.1:$(PORT)
MOUNT    ?= mnt
VERSION  := $(shell sed -n 's/^.define CHR_VERSION "\(.*\)"/\1/p' src/chronos.h)

# Of what is installed; `make run` and `make test` install what is missing first, and then call make again.
pkg_cflags = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(1) 2>/dev/null))
pkg_libs   = $(shell pkg-config --libs $(1) 2>/dev/null)

ALL_CPPFLAGS := -D_GNU_SOURCE -Isrc -I. $(call pkg_cflags,fuse3) $(CPPFLAGS)
ALL_CFLAGS   := -std=gnu11 $(OPTIMIZE) -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fPIC \
                -fvisibility=hidden -fno-omit-frame-pointer -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(CFLAGS)
ALL_LDFLAGS  := -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE)) $(LDFLAGS)
LIB_LIBS     := $(call pkg_libs,liblz4 libzstd)
LIBS         := $(LIB_LIBS) $(call pkg_libs,fuse3 hiredis libedit libcrypt openssl)

# V=1 shows each command whole.
Q   := $(if $(V),,@)
say := @$(if $(V),:,echo)

# The layers: the library, the doors, the program. main.c is left out of what the tests link.
LIB_SRC   := $(wildcard src/base/*.c src/env/*.c src/engine/*.c src/object/*.c)
DOOR_SRC  := $(wildcard net/*.c fs/*.c)
CLI_SRC   := $(filter-out src/cli/main.c,$(wildcard src/cli/*.c))
objects    = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
UNIT      := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
CRASH     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/crash/crash_*.c))
BENCH     := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/bench_*.c))
FUZZ      := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))

.DEFAULT_GOAL := all
.PHONY: all help deps run test test-asan test-tsan test-crash test-long shell unit fuzz bench bench-engine bench-net bench-mount lint format protocol install uninstall clean \
        unit-binaries crash-binaries bench-binaries fuzz-binaries

all: $(BUILD)/chronos $(BUILD)/libchronos.a $(BUILD)/libchronos.so ## build program and library

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { n = split($$1, names, " "); for (i = 1; i <= n; i++) \
	      printf "  make %-12s %s\n", names[i], $$2 }' Makefile
	@echo "  make unit-NAME  build and run tests/unit/test_NAME.c alone"

run: ## install what is missing, build, serve and mount (DIR=, PORT= or LISTEN=, MOUNT=)
	@.ci/deps build
	@$(MAKE) --no-print-directory -j "$$(nproc)" all
	@mkdir -p "$(MOUNT)" 2>/dev/null || true   # a stale mount cannot be made, and will be taken over
	@exec $(BUILD)/chronos serve --dir "$(DIR)" --listen "$(LISTEN)" --mount "$(MOUNT)"

test: ## install what is missing, build and run all tests (under 15 minutes on two cores)
	@.ci/deps build test
	@tests/run all

test-asan: ## unit, crash and some shell tests under AddressSanitizer and UBSan
	@.ci/deps build test
	@tests/run asan

test-tsan: ## unit and some shell tests under ThreadSanitizer
	@.ci/deps build test
	@tests/run tsan

test-crash: ## power cuts on a simulated disk at every call, and servers killed with -9 (5 minutes; SEED=, CRASH_SECONDS=, KILLS=)
	@.ci/deps build test
	@tests/run crash

test-long: ## the random tests, each for LONG_SECONDS (default 600): the mount beside another file system, bad clients, crashes, fuzzing
	@.ci/deps build test
	@tests/run long

shell: ## the tests that drive the program as its users do
	@.ci/deps build test
	@tests/run shell

fuzz: ## run each fuzz target for FUZZ_SECONDS (default 600)
	@.ci/deps build test
	@tests/run fuzz

bench: ## measure beside RocksDB, LevelDB and Redis, in turn, in the same run (QUICK=1: less of it)
	@.ci/deps build bench
	@$(MAKE) --no-print-directory -j "$$(nproc)" all bench-binaries
	@BUILD="$(BUILD)" tests/bench/run $(PARTS)

bench-engine bench-net bench-mount: ## a part of it
	@$(MAKE) --no-print-directory bench PARTS=$(@:bench-%=%)

lint: ## clang-format, clang-tidy, shellcheck, and who may include whom
	@.ci/deps build test
	@.ci/lint

format: ## format the sources in place
	@.ci/deps test
	@find src net fs tests examples -name '*.[ch]' | xargs clang-format -i

protocol: $(BUILD)/tools/commands_md ## make the tables of commands in net/PROTOCOL.md from net/command_table.c
	@$< net/PROTOCOL.md > $(BUILD)/PROTOCOL.md
	@cp $(BUILD)/PROTOCOL.md net/PROTOCOL.md

install: all ## install below PREFIX (default /usr/local; DESTDIR is honoured)
	install -D -m 755 $(BUILD)/chronos "$(DESTDIR)$(PREFIX)/bin/chronos"
	install -D -m 644 src/chronos.h "$(DESTDIR)$(PREFIX)/include/chronos.h"
	install -D -m 644 $(BUILD)/libchronos.a "$(DESTDIR)$(PREFIX)/lib/libchronos.a"
	install -D -m 755 $(BUILD)/libchronos.so "$(DESTDIR)$(PREFIX)/lib/libchronos.so.0"
	ln -sfn libchronos.so.0 "$(DESTDIR)$(PREFIX)/lib/libchronos.so"
	install -d "$(DESTDIR)$(PREFIX)/lib/pkgconfig"
	printf '%s\n' 'prefix=$(PREFIX)' '' 'Name: chronos' 'Description: a durable, ordered key-value store' \
	       'Version: $(VERSION)' 'Requires.private: liblz4 libzstd' 'Cflags: -I$${prefix}/include' \
	       'Libs: -L$${prefix}/lib -lchronos' 'Libs.private: -pthread' > "$(DESTDIR)$(PREFIX)/lib/pkgconfig/chronos.pc"
	install -D -m 644 src/cli/chronos.1 "$(DESTDIR)$(PREFIX)/share/man/man1/chronos.1"
	install -d "$(DESTDIR)/sbin"
	ln -sfn "$(PREFIX)/bin/chronos" "$(DESTDIR)/sbin/mount.chronos"
	if [ -z "$(DESTDIR)" ]; then ldconfig; fi

uninstall: ## remove what install put there
	cd "$(DESTDIR)$(PREFIX)" && rm -f bin/chronos include/chronos.h lib/libchronos.a lib/libchronos.so \
	      lib/libchronos.so.0 lib/pkgconfig/chronos.pc share/man/man1/chronos.1
	rm -f "$(DESTDIR)/sbin/mount.chronos"
	if [ -z "$(DESTDIR)" ]; then ldconfig; fi

clean: ## remove what was built; data and mounts stay
	rm -rf $(BUILD)

unit: ## build and run the unit tests, without sanitizers
	@.ci/deps build test
	@tests/run unit

unit-%: $(BUILD)/tests/unit/test_%
	$<

unit-binaries: $(UNIT)
crash-binaries: $(CRASH)
bench-binaries: $(BENCH)
fuzz-binaries: $(FUZZ)

# ---- the library: one object, in which only chr_* is global ----

$(BUILD)/libchronos.a: $(call objects,$(LIB_SRC))
	$(say) "  AR    $@"
	$(Q)ld -r -o $(BUILD)/chronos.o $^
	$(Q)objcopy --localize-hidden $(BUILD)/chronos.o
	$(Q)rm -f $@
	$(Q)ar rcs $@ $(BUILD)/chronos.o

$(BUILD)/libchronos.so: $(call objects,$(LIB_SRC))
	$(say) "  LINK  $@"
	$(Q)$(CC) -shared -Wl,-soname,libchronos.so.0 -Wl,-z,defs $(ALL_LDFLAGS) -o $@ $^ $(LIB_LIBS)

$(BUILD)/chronos: $(call objects,src/cli/main.c) $(BUILD)/libinternal.a
	$(say) "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/tools/commands_md: $(BUILD)/obj/net/tools/commands_md.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(say) "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# ---- what tests link: everything but main ----

$(BUILD)/libinternal.a: $(call objects,$(LIB_SRC) $(DOOR_SRC) $(CLI_SRC))
	$(say) "  AR    $@"
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(UNIT): $(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(say) "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(CRASH): $(BUILD)/tests/crash/%: $(BUILD)/obj/tests/crash/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(say) "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) $(addprefix -Wl$(comma)--wrap=,$(WRAP)) -o $@ $^ $(LIBS)

comma := ,
$(BUILD)/tests/crash/crash_memory: WRAP := malloc calloc realloc aligned_alloc posix_memalign

$(BENCH): $(BUILD)/tests/bench/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(say) "  LINK  $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) $(if $(filter %/stores.o,$^),-lrocksdb -lleveldb)

$(BUILD)/tests/bench/bench_engine $(BUILD)/tests/bench/bench_steady: $(BUILD)/obj/tests/bench/stores.o

# Built by clang: make BUILD=build/fuzz CC=clang SANITIZE=fuzzer-no-link,address,undefined fuzz-binaries
$(FUZZ): $(BUILD)/tests/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(BUILD)/libinternal.a
	@mkdir -p $(@D)
	$(say) "  LINK  $@"
	$(Q)$(CC) -fsanitize=fuzzer $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) "  CC    $<"
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
