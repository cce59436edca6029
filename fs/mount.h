/* The mount door: shows a store as a tree of files through FUSE. Semantics: SEMANTICS.md. */
#ifndef CHR_FS_MOUNT_H
#define CHR_FS_MOUNT_H

#include "fs/remote.h"
#include "object/store.h"

typedef struct mount mount;

typedef struct mount_options {
    const char *mount_point; /* an empty directory that exists; a stale mount of a dead server is taken over */
    bool        read_only;
    bool        allow_other;
    bool        no_exec, suid, dev; /* as the kernel keeps them; only root gets suid and dev */
    bool        strict;             /* the kernel keeps nothing: every look goes to the store */
    uint64_t    max_size;           /* of the store, in bytes, for writes through the mount; 0: no limit */
    /* What files and directories without attributes of their own get, instead of the process's and 022. */
    bool     has_uid, has_gid, has_umask;
    uint32_t uid, gid, umask;
    remote  *remote;    /* the server that has the store, open; or NULL. It stays the caller's */
    struct {            /* of the connection to a server; for who opens it */
        bool     given; /* one of them was */
        bool     tls;
        slice    tls_ca; /* files */
        slice    auth;
        uint32_t timeout_s; /* 0: the usual one */
    } far;
    slice prefix;   /* only the keys below this directory, which is the root; empty: all */
    slice snapshot; /* the root shows this snapshot; empty: now. With read_only */
    /* Of .chronos/config: appends what else runs here, a `name value` a line; changes one of them. NULL: nothing, and none. */
    bool (*config_text)(void *arg, buf *text);
    chr_status (*config_set)(void *arg, slice name, slice value);
    void *config_arg;
    /* The mount has ended from outside (umount); must not block. Not called for mount_stop. */
    void (*on_unmounted)(void *arg);
    void *unmounted_arg;
} mount_options;

/* `s` NULL: options->remote has it. Mounts and serves from threads of its own; when it returns CHR_OK the tree can be used. CHR_INVALID: the mount point is
 * missing, not a directory, not empty or in use, with a sentence that says what to do. */
chr_status mount_start(store *s, const mount_options *options, mount **out);
/* Writes out what is dirty, unmounts (lazily if it is busy), joins, frees. The store stays the caller's. */
void mount_stop(mount *m);

#endif
