# Stands in for the ports tree's bsd.port.mk: stages what a port in freebsd/ installs,
# and leaves in WRKDIR what the packer is to know of it, its variables filled in. It
# knows what our ports say, and refuses the rest: what is not done must not be lost.
#
#   bmake -r -m packaging/freebsd/sdk -C PORT REPO=… WRKDIR=… stage
#
# GOOS, GOARCH and the like are the environment's.

.for name in USERS GROUPS OPTIONS_DEFINE CONFLICTS CONFLICTS_INSTALL LIB_DEPENDS PKGNAMEPREFIX PKGNAMESUFFIX PORTEPOCH
.  if !empty(${name})
.    error ${name}: packaging/freebsd/sdk/bsd.port.mk does not know it
.  endif
.endfor
.for use in ${USES:Ngo\:*}
.  error USES=${use}: packaging/freebsd/sdk/bsd.port.mk does not know it
.endfor

LOCALBASE    ?= /usr/local
PREFIX       ?= ${LOCALBASE}
STAGEDIR     ?= ${WRKDIR}/stage
FILESDIR     ?= ${.CURDIR}/files
WRKSRC       ?= ${REPO}${WRKSRC_SUBDIR:D/${WRKSRC_SUBDIR}}
PORTVERSION  ?= ${DISTVERSION}
PKGVERSION   := ${PORTVERSION}${"${PORTREVISION:U0}" != "0":?_${PORTREVISION}:}
PKGNAME      := ${PORTNAME}-${PKGVERSION}
PKGORIGIN    := ${.CURDIR:H:T}/${.CURDIR:T}
DATADIR      ?= ${PREFIX}/share/${PORTNAME}
DOCSDIR      ?= ${PREFIX}/share/doc/${PORTNAME}
EXAMPLESDIR  ?= ${PREFIX}/share/examples/${PORTNAME}
ETCDIR       ?= ${PREFIX}/etc/${PORTNAME}
WWWDIR       ?= ${PREFIX}/www/${PORTNAME}
LICENSE_DIR   = ${PREFIX}/share/licenses/${PKGNAME}

MKDIR           = mkdir -p
CP              = cp
LN              = ln
MV              = mv
RM              = rm -f
SED             = sed
REINPLACE_CMD  := ${.PARSEDIR}/reinplace
INSTALL_PROGRAM = install -m 555
INSTALL_SCRIPT  = install -m 555
INSTALL_DATA    = install -m 644
INSTALL_MAN     = install -m 644

# fill puts the values of variables for %%NAME%%.
known = PREFIX=${PREFIX} LOCALBASE=${LOCALBASE} DATADIR=${DATADIR} DOCSDIR=${DOCSDIR} EXAMPLESDIR=${EXAMPLESDIR} ETCDIR=${ETCDIR} \
	WWWDIR=${WWWDIR} PORTNAME=${PORTNAME} PORTVERSION=${PORTVERSION} PKGVERSION=${PKGVERSION} PORTDOCS= PORTEXAMPLES=
fill  = sed ${:U${known} ${SUB_LIST} ${PLIST_SUB}:@v@-e 's|%%${v:C/=.*//}%%|${v:C/^[^=]*=//:S/^"//:S/"$//}|g'@}

.PHONY: stage do-build pre-install do-install post-install files
.ORDER: files do-build pre-install do-install post-install stage

stage: files do-build pre-install do-install post-install
	@{ cat ${.CURDIR}/pkg-plist 2>/dev/null; printf '%s\n' ${PLIST_FILES} ${USE_RC_SUBR:S|^|etc/rc.d/|}; } | ${fill} > ${WRKDIR}/pkg-plist
	@cat ${.CURDIR}/pkg-descr > ${WRKDIR}/pkg-descr
.for name in pkg-message pkg-install pkg-deinstall
.  if exists(${.CURDIR}/${name})
	@${fill} ${.CURDIR}/${name} > ${WRKDIR}/${name}
.  endif
.endfor
.for name in ${USE_RC_SUBR}
	@${MKDIR} ${STAGEDIR}${PREFIX}/etc/rc.d
	@${INSTALL_SCRIPT} ${WRKDIR}/${name} ${STAGEDIR}${PREFIX}/etc/rc.d/${name}
.endfor
.if !empty(LICENSE_FILE)
	@${MKDIR} ${STAGEDIR}${LICENSE_DIR}
	@${INSTALL_DATA} ${LICENSE_FILE} ${STAGEDIR}${LICENSE_DIR}/${LICENSE}
	@echo ${LICENSE_DIR}/${LICENSE} >> ${WRKDIR}/pkg-plist
.endif
	@find ${STAGEDIR}${PREFIX} -path '*/man/man[1-9]/*' -type f ! -name '*.gz' -exec gzip -9n {} +

# Files of files/ with an .in at their end.
files:
	@${MKDIR} ${STAGEDIR}${PREFIX}
.for name in ${USE_RC_SUBR} ${SUB_FILES}
	@${fill} ${FILESDIR}/${name}.in > ${WRKDIR}/${name}
.endfor

# GO_TARGET are packages, each with a colon and where its program goes.
.if !target(do-build)
do-build:
.  for t in ${GO_TARGET}
	@cd ${WRKSRC} && go build -buildmode=exe -trimpath -buildvcs=false ${GO_BUILDFLAGS} -o ${WRKDIR}/bin/${t:C/.*://:T} ${t:C/:.*//}
.  endfor
.endif

pre-install:

.if !target(do-install)
do-install:
.  for t in ${GO_TARGET}
	@${MKDIR} ${STAGEDIR}${t:C/.*://:H}
	@${INSTALL_PROGRAM} ${WRKDIR}/bin/${t:C/.*://:T} ${STAGEDIR}${t:C/.*://}
.  endfor
.endif

.if !target(post-install)
post-install:
.endif
