/* The words of -o and --mount-options: what /etc/fstab and mount(8) say of a mount, made into what fs/mount.h takes. */
#ifndef CHR_CLI_MOUNT_WORDS_H
#define CHR_CLI_MOUNT_WORDS_H

#include "cli/options.h"
#include "fs/mount.h"

/* Later words win over earlier ones. What `to` then holds is borrowed from the words. `sloppy`: words that nobody knows are passed
 * over. CHR_INVALID with a sentence: a word is unknown, or its value will not do. */
chr_status mount_words_read(const word_list *words, bool sloppy, mount_options *to);

#endif
