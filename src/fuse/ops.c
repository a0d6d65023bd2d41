/* SPDX-License-Identifier: MIT */
/* Requests in, replies out.
 *
 * A handler copies what it needs, hands the op to fs and returns; the reply is
 * made by request_reply, at once or later, on whichever thread ended the op. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuse/private.h"

/* A request's reply is the last thing done for it: afterwards the kernel may
 * end the mount, so nothing of it is touched. */
static void request_free(struct request *r)
{
	fs_op_end(&r->op);
	free(r->dirents);
	free(r->given);
	free(r->more);
	free(r);
}

void request_reply(struct request *r)
{
	if (r->watched)
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

	if (op->drop_node)
		notifier_drop_then_reply(r->mount->notifier, r);
	else
		request_reply(r);
}

static void op_parked(struct fs_op *op)
{
	struct request *r = CONTAINER_OF(op, struct request, op);

	r->watched = true;
	r->mount->linger_ns = 0;
	interrupts_watch(r->mount->interrupts, r->req, op->serial, op->tid);
}

/* The name dies with the handler, the op may live longer. */
static struct request *named_request(fuse_req_t req, enum fs_call call, fuse_ino_t ino,
				     const char *name, void (*reply)(struct request *r))
{
	size_t len = strlen(name);
	bool fits = len <= NAME_MAX;
	/* Not calloc, which does not look where free has put the last one. */
	struct request *r = fits ? malloc(sizeof(*r) + len + 1) : NULL;

	if (!r) {
		(void)fuse_reply_err(req, fits ? ENOMEM : ENAMETOOLONG);
		return NULL;
	}
	memset(r, 0, sizeof(*r));
	memcpy(r->name, name, len + 1);
	r->mount = fuse_req_userdata(req);
	r->req = req;
	r->reply = reply;
	r->op.call = call;
	r->op.node = ino;
	r->op.name = len > 0 ? r->name : NULL;
	r->op.tid = fuse_req_ctx(req)->pid;
	r->op.uid = fuse_req_ctx(req)->uid;
	r->op.gid = fuse_req_ctx(req)->gid;
	r->op.done = op_done;
	r->op.parked = op_parked;
	return r;
}

static struct request *request_new(fuse_req_t req, enum fs_call call, fuse_ino_t ino,
				   void (*reply)(struct request *r))
{
	return named_request(req, call, ino, "", reply);
}

static void request_submit(struct request *r)
{
	fs_submit(r->mount->fs, &r->op);
}

/* A second name. */
static const char *request_take_more(struct request *r, const char *text)
{
	r->more = strdup(text);
	if (!r->more) {
		(void)fuse_reply_err(r->req, ENOMEM);
		request_free(r);
		return NULL;
	}
	return r->more;
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
	struct request *r = named_request(req, FS_LOOKUP, parent, name, reply_lookup);

	if (r)
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

/* The bytes are taken before this returns, for they die with it. */
static void do_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct request *r = request_new(req, FS_WRITE, ino, reply_write);

	if (!r)
		return;
	r->size = size;
	r->op.handle = fi->fh;
	r->op.flags = fi->flags;
	r->op.bytes = buf;
	r->op.size = size;
	r->op.offset = (uint64_t)off;
	request_submit(r);
}

static void reply_nothing(struct request *r)
{
	(void)fuse_reply_err(r->req, 0);
}

static void settle(fuse_req_t req, enum fs_call call, fuse_ino_t ino,
		   const struct fuse_file_info *fi)
{
	struct request *r = request_new(req, call, ino, reply_nothing);

	if (!r)
		return;
	r->op.handle = fi->fh;
	request_submit(r);
}

static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	settle(req, FS_FLUSH, ino, fi);
}

static void do_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	settle(req, FS_FSYNC, ino, fi);
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
	struct request *r = named_request(req, FS_GETXATTR, ino, name, reply_xattr);

	if (!r)
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

/* ---- changes ---- */

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	static const struct {
		int from;
		unsigned to;
	} bits[] = {
		{ FUSE_SET_ATTR_MODE, FS_SET_MODE },   { FUSE_SET_ATTR_UID, FS_SET_UID },
		{ FUSE_SET_ATTR_GID, FS_SET_GID },     { FUSE_SET_ATTR_SIZE, FS_SET_SIZE },
		{ FUSE_SET_ATTR_ATIME, FS_SET_ATIME }, { FUSE_SET_ATTR_MTIME, FS_SET_MTIME },
	};
	struct request *r = request_new(req, FS_SETATTR, ino, reply_getattr);

	if (!r)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		r->op.set |= to_set & bits[i].from ? bits[i].to : 0;
	r->op.attr = *attr;
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		clock_gettime(CLOCK_REALTIME, &r->op.attr.st_mtim);
	r->op.handle = fi ? fi->fh : 0;
	request_submit(r);
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct request *r = named_request(req, FS_MKNOD, parent, name, reply_lookup);

	if (r)
		request_submit(r);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct request *r = named_request(req, FS_MKDIR, parent, name, reply_lookup);

	if (!r)
		return;
	r->op.mode = mode;
	request_submit(r);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request *r = named_request(req, FS_UNLINK, parent, name, reply_nothing);

	if (r)
		request_submit(r);
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct request *r = named_request(req, FS_RMDIR, parent, name, reply_nothing);

	if (r)
		request_submit(r);
}

static void do_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	struct request *r = named_request(req, FS_SYMLINK, parent, name, reply_lookup);

	if (!r || !(r->op.target = request_take_more(r, link)))
		return;
	r->op.mode = 0777;
	request_submit(r);
}

static void do_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		      const char *new_name, unsigned flags)
{
	struct request *r = named_request(req, FS_RENAME, parent, name, reply_nothing);

	if (!r || !(r->op.new_name = request_take_more(r, new_name)))
		return;
	r->op.to = new_parent;
	r->op.flags = (int)flags;
	request_submit(r);
}

static void do_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	struct request *r = named_request(req, FS_LINK, new_parent, new_name, reply_lookup);

	if (!r)
		return;
	r->op.source = ino;
	request_submit(r);
}

static void reply_create(struct request *r)
{
	const struct fuse_entry_param param = entry_param(&r->op.entry);

	r->fi.fh = r->op.handle;
	r->fi.keep_cache = r->op.keep_cache;
	if (fuse_reply_create(r->req, &param, &r->fi) >= 0)
		return;
	fs_release(r->mount->fs, r->op.handle);
	fs_forget(r->mount->fs, r->op.entry.node, 1);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct request *r = named_request(req, FS_CREATE, parent, name, reply_create);

	if (!r)
		return;
	r->fi = *fi;
	r->op.flags = fi->flags;
	r->op.mode = mode;
	request_submit(r);
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
	.unlink = do_unlink,
	.rmdir = do_rmdir,
	.symlink = do_symlink,
	.rename = do_rename,
	.link = do_link,
	.create = do_create,
};
