/* SPDX-License-Identifier: MIT */
/* Requests in, replies out.
 *
 * A handler copies what it needs, hands the op to fs and returns; the reply is
 * made by request_reply, at once or later, on whichever thread ended the op. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse/private.h"

/* A request's reply is the last thing done for it: afterwards the kernel may
 * end the mount, so nothing of it is touched. */
static void request_free(struct request *r)
{
	fs_op_end(&r->op);
	free(r->dirents);
	free(r->given);
	free(r);
}

void request_reply(struct request *r)
{
	interrupts_forget(r->mount->interrupts, r->op.serial);
	if (r->op.err < 0)
		(void)fuse_reply_err(r->req, -r->op.err);
	else
		r->reply(r);
	request_free(r);
}

static void op_done(struct fs_op *op)
{
	struct request *r = CONTAINER_OF(op, struct request, op);

	if (op->err == 0 && op->drop_node)
		notifier_drop_then_reply(r->mount->notifier, op->drop_node, r);
	else
		request_reply(r);
}

static void op_parked(struct fs_op *op)
{
	struct request *r = CONTAINER_OF(op, struct request, op);

	interrupts_watch(r->mount->interrupts, r->req, op->serial, op->tid);
}

static struct request *request_new(fuse_req_t req, enum fs_call call, fuse_ino_t ino,
				   void (*reply)(struct request *r))
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r) {
		(void)fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	r->mount = fuse_req_userdata(req);
	r->req = req;
	r->reply = reply;
	r->op.call = call;
	r->op.node = ino;
	r->op.tid = fuse_req_ctx(req)->pid;
	r->op.done = op_done;
	r->op.parked = op_parked;
	return r;
}

static void request_submit(struct request *r)
{
	fs_submit(r->mount->fs, &r->op);
}

/* The name dies with the handler, the op may live longer. */
static bool request_take_name(struct request *r, const char *name)
{
	size_t len = strlen(name);

	if (len >= sizeof(r->name)) {
		(void)fuse_reply_err(r->req, ENAMETOOLONG);
		request_free(r);
		return false;
	}
	memcpy(r->name, name, len + 1);
	r->op.name = r->name;
	return true;
}

/* ---- entries and attributes ---- */

static double seconds(uint64_t ms)
{
	return (double)ms / 1000;
}

static struct fuse_entry_param entry_param(const struct fs_entry *e)
{
	return (struct fuse_entry_param){
		.ino = e->node,
		.attr = e->attr,
		.attr_timeout = seconds(e->attr_ms),
		.entry_timeout = seconds(e->entry_ms),
	};
}

/* Where the reply did not reach the kernel, it took no reference. */
static void reply_lookup(struct request *r)
{
	const struct fs_entry *e = &r->op.entry;
	const struct fuse_entry_param param = entry_param(e);

	if (!e->node && !e->entry_ms)
		(void)fuse_reply_err(r->req, ENOENT);
	else if (fuse_reply_entry(r->req, &param) < 0 && e->node)
		fs_forget(r->mount->fs, e->node, 1);
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request *r = request_new(req, FS_LOOKUP, parent, reply_lookup);

	if (r && request_take_name(r, name))
		request_submit(r);
}

static void reply_getattr(struct request *r)
{
	(void)fuse_reply_attr(r->req, &r->op.entry.attr, seconds(r->op.entry.attr_ms));
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct request *r = request_new(req, FS_GETATTR, ino, reply_getattr);

	if (!r)
		return;
	r->op.handle = fi ? fi->fh : 0;
	request_submit(r);
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	struct mount *mount = fuse_req_userdata(req);

	fs_forget(mount->fs, ino, nlookup);
	fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct mount *mount = fuse_req_userdata(req);

	for (size_t i = 0; i < count; i++)
		fs_forget(mount->fs, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void reply_readlink(struct request *r)
{
	(void)fuse_reply_readlink(r->req, r->op.data);
}

static void do_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct request *r = request_new(req, FS_READLINK, ino, reply_readlink);

	if (r)
		request_submit(r);
}

/* ---- files ---- */

static void reply_open(struct request *r)
{
	r->fi.fh = r->op.handle;
	r->fi.keep_cache = r->op.keep_cache;
	r->fi.direct_io = r->op.direct_io;
	/* What cannot have written has nothing to flush. */
	r->fi.noflush = (r->fi.flags & O_ACCMODE) == O_RDONLY;
	if (fuse_reply_open(r->req, &r->fi) < 0)
		fs_release(r->mount->fs, r->op.handle);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct request *r = request_new(req, FS_OPEN, ino, reply_open);

	if (!r)
		return;
	r->fi = *fi;
	r->op.flags = fi->flags;
	request_submit(r);
}

static void reply_data(struct request *r)
{
	(void)fuse_reply_buf(r->req, r->op.data, r->op.data_len);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct request *r = request_new(req, FS_READ, ino, reply_data);

	if (!r)
		return;
	r->op.handle = fi->fh;
	r->op.size = size;
	r->op.offset = (uint64_t)off;
	request_submit(r);
}

static void reply_write(struct request *r)
{
	(void)fuse_reply_write(r->req, r->size);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct request *r = request_new(req, FS_WRITE, ino, reply_write);

	if (!r)
		return;
	r->op.handle = fi->fh;
	r->size = size;
	request_submit(r);
}

/* Nothing is ever unwritten.  (ENOSYS would be remembered for the mount.) */
static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fuse_reply_err(req, 0);
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)fuse_reply_err(req, 0);
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = fuse_req_userdata(req);

	fs_release(mount->fs, fi->fh);
	(void)fuse_reply_err(req, 0);
}

/* ---- directories ---- */

static void reply_opendir(struct request *r)
{
	r->fi.fh = r->op.handle;
	r->fi.cache_readdir = 1;
	r->fi.keep_cache = r->op.keep_cache;
	if (fuse_reply_open(r->req, &r->fi) < 0)
		fs_release(r->mount->fs, r->op.handle);
}

static void do_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct request *r = request_new(req, FS_OPENDIR, ino, reply_opendir);

	if (!r)
		return;
	r->fi = *fi;
	request_submit(r);
}

static bool emit(struct fs_op *op, const struct fs_dirent *d)
{
	struct request *r = CONTAINER_OF(op, struct request, op);
	char *at = r->dirents + r->dirents_len;
	size_t room = r->size - r->dirents_len;
	size_t need;

	if (op->plus) {
		const struct fuse_entry_param param = entry_param(&d->entry);

		need = fuse_add_direntry_plus(r->req, at, room, d->name, &param, (off_t)d->cookie);
	} else {
		need = fuse_add_direntry(r->req, at, room, d->name, &d->entry.attr,
					 (off_t)d->cookie);
	}
	if (need > room)
		return false;
	r->dirents_len += need;
	if (op->plus && d->entry.node)
		r->given[r->n_given++] = d->entry.node;
	return true;
}

static void reply_readdir(struct request *r)
{
	if (fuse_reply_buf(r->req, r->dirents, r->dirents_len) >= 0)
		return;
	for (size_t i = 0; i < r->n_given; i++)
		fs_forget(r->mount->fs, r->given[i], 1);
}

static void submit_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   const struct fuse_file_info *fi, bool plus)
{
	const size_t smallest = sizeof(struct stat); /* less than any entry with attributes */
	struct request *r = request_new(req, FS_READDIR, ino, reply_readdir);

	if (!r)
		return;
	r->dirents = malloc(size);
	r->given = plus ? malloc((size / smallest + 1) * sizeof(*r->given)) : NULL;
	if (!r->dirents || (plus && !r->given)) {
		(void)fuse_reply_err(req, ENOMEM);
		request_free(r);
		return;
	}
	r->size = size;
	r->op.handle = fi->fh;
	r->op.offset = (uint64_t)off;
	r->op.plus = plus;
	r->op.emit = emit;
	request_submit(r);
}

static void do_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	submit_readdir(req, ino, size, off, fi, false);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	submit_readdir(req, ino, size, off, fi, true);
}

/* ---- the rest ---- */

static void reply_statfs(struct request *r)
{
	(void)fuse_reply_statfs(r->req, &r->op.statvfs);
}

static void do_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct request *r = request_new(req, FS_STATFS, ino, reply_statfs);

	if (r)
		request_submit(r);
}

/* getxattr(2): a size of 0 asks how much room is needed. */
static void reply_xattr(struct request *r)
{
	if (r->size == 0)
		(void)fuse_reply_xattr(r->req, r->op.data_len);
	else if (r->op.data_len > r->size)
		(void)fuse_reply_err(r->req, ERANGE);
	else
		(void)fuse_reply_buf(r->req, r->op.data, r->op.data_len);
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct request *r = request_new(req, FS_GETXATTR, ino, reply_xattr);

	if (!r || !request_take_name(r, name))
		return;
	r->size = size;
	request_submit(r);
}

static void do_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct request *r = request_new(req, FS_LISTXATTR, ino, reply_xattr);

	if (!r)
		return;
	r->size = size;
	request_submit(r);
}

static void reply_change(struct request *r)
{
	(void)fuse_reply_err(r->req, 0);
}

static void change(fuse_req_t req, fuse_ino_t ino)
{
	struct request *r = request_new(req, FS_CHANGE, ino, reply_change);

	if (r)
		request_submit(r);
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	change(req, ino);
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	change(req, parent);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	change(req, parent);
}

static void do_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	change(req, parent);
}

static void do_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	change(req, parent);
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	change(req, parent);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	change(req, new_parent);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	change(req, parent);
}

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	struct mount *mount = userdata;

	/* Always with attributes: what follows a listing then finds all names
	 * and attributes there. */
	conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
	conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_PARALLEL_DIROPS);
	conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	mount->want_parallel_dirops = conn->capable & FUSE_CAP_PARALLEL_DIROPS;
	conn->max_background = 64;
	conn->time_gran = 1000000; /* the API's times have milliseconds */
}

/* No access: default_permissions.  No setxattr: ENOSYS makes tools use chmod. */
const struct fuse_lowlevel_ops mount_ops = {
	.init = do_init,
	.lookup = do_lookup,
	.forget = do_forget,
	.forget_multi = do_forget_multi,
	.getattr = do_getattr,
	.readlink = do_readlink,
	.open = do_open,
	.read = do_read,
	.write = do_write,
	.flush = do_flush,
	.fsync = do_fsync,
	.release = do_release,
	.opendir = do_opendir,
	.readdir = do_readdir,
	.readdirplus = do_readdirplus,
	.releasedir = do_release,
	.statfs = do_statfs,
	.getxattr = do_getxattr,
	.listxattr = do_listxattr,
	.setattr = do_setattr,
	.mknod = do_mknod,
	.mkdir = do_mkdir,
	.unlink = do_remove,
	.rmdir = do_remove,
	.symlink = do_symlink,
	.rename = do_rename,
	.link = do_link,
	.create = do_create,
};
