/* Keys as paths: a bijection (SEMANTICS.md, "Names").
 *
 * A key is cut at each '/' into components, and a component is shown under its own bytes, unless they cannot be a name. Then
 * it is escaped: "%=" and the component, in which leading dots, NUL and '%' are written as %2E, %00 and %25. That is
 * done for the components "", ".", ".." and ".chronos" (this one in the root only), for those that begin with "%=" and
 * those that contain NUL.
 *
 * A component whose name would be longer than NAME_BYTES_MAX is cut: a piece is named "%=", at least PIECE_TEXT bytes of escaped
 * text and "%+", and is a directory in which the rest of the component is found, named by the same rules. Where it is
 * cut depends on the bytes before the cut only, so a piece is a piece of everything that begins with it and is too long.
 *
 * "%=self" stands for the key of the directory it is in, where that is a key too.
 *
 * Every key has one path. A name that is well-formed, but not the one that its key has, is not accepted. */
#ifndef CHR_FS_PATH_H
#define CHR_FS_PATH_H

#include "base/bytes.h"

enum { NAME_BYTES_MAX = 255, PIECE_TEXT = NAME_BYTES_MAX - 6 };
#define CONTROL_NAME ".chronos"
#define SELF_NAME "%=self"

typedef enum name_form { NAME_COMPONENT, NAME_PIECE, NAME_SELF } name_form;

/* The name for what is left of a component from byte `at` on, where a piece ends or the component begins. Returns how many bytes
 * the name stands for: less than are left if it is a piece. */
size_t component_name(slice component, size_t at, bool in_root, char name[static NAME_BYTES_MAX], size_t *name_len);

/* A place: a key, or a directory's key, as the names that lead to it give it. Starts as {0}, the root; free with
 * place_free. */
typedef struct place {
    buf       key;         /* without a '/' at the end for the directory */
    size_t    component;   /* where the last component begins in it */
    bool      below_root;
    name_form form;        /* of the last name */
} place;

/* Goes on to a name in the directory. CHR_INVALID, without a message: it is not a name that a key has there, or its
 * directory cannot have it. CHR_TOO_BIG: the key would be over CHR_KEY_MAX. Either leaves the place as it was. */
chr_status         place_enter(place *p, slice name);
/* The same for a name that was accepted before. */
chr_status         place_enter_known(place *p, slice name);
static inline void place_free(place *p) { chr_buf_free(&p->key); }
static inline slice place_key(const place *p) { return buf_slice(&p->key); }
static inline bool place_is_root(const place *p) { return !p->below_root; }
/* Whether the directory can have a record: not a piece, and not the component "" of the root, whose key is the root's. */
static inline bool place_has_record(const place *p)
{
    return place_is_root(p) || (p->form == NAME_COMPONENT && p->key.len);
}
/* What all keys below the directory begin with: its key and a '/', or the bare key of a piece or the root. */
chr_status place_prefix(const place *p, buf *prefix);

/* The names that lead to a key. */
typedef struct path_walk {
    slice  key;
    size_t component, component_end, at;   /* of the name to come */
    bool   done;
    char   name[NAME_BYTES_MAX];           /* the one found */
    size_t name_len;
    size_t end;                            /* the key's bytes that it and those before it stand for */
    bool   last, piece;
} path_walk;
path_walk path_walk_of(slice key);
bool      path_next(path_walk *w);
static inline slice walk_name(const path_walk *w) { return chr_bytes(w->name, w->name_len); }

/* Within `key`, the component that begins at `from`. */
slice key_component(slice key, size_t from);
/* Whether a name of `component` ends, and another one begins, at byte `at` (0: its first name begins). */
bool  component_is_cut_at(slice component, size_t at, bool in_root);

#endif
