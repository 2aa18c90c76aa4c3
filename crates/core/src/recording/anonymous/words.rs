//! The words that stay in recordings that may be published.

/// Words that replies of servers have in common, and names of their products: they stay.
pub(super) const COMMON: &str = "\
a able abor aborted aborting accept accepted access account active address after all allowed allo already also an and \
anonymous any appe are argument arguments as ascii at auth available bad base be been begin binary both but by bye bytes \
cannot cdup changed check cipher clear close closed closing command commands complete completed connect connected \
connecting connection connections control could create created current currently cwd data date day dele deleted denied \
did directory directories disabled do does done download due duplicate end entering eprt epsv epsvall error established exceeded \
exist exists expected extended fail failed failure feat features file filename files first for format found from ftp ftpd \
get go good goodbye got gmt greeting group hash have hello help here hi host i idle if image implemented in inactivity \
incorrect input insufficient interrupted invalid ip ipv4 ipv6 is it its just kbytes kilobytes lang large limit list \
listing local locked log logged login logout long lprt mbytes maximum message mdtm mfmt minute minutes missing mkd mlsd mlst mode \
modify modified modification more must name need new nlst no non none noop not now number of off offset ok okay on one online only \
open opened opening operation option options opts or other overwritten parameter parameters parameter pass passive \
password pasv path pathname pbsz pending perform permission permissions permitted please policy port possible pret \
private privileges problem proceed processed processing prohibited prot protected protection protocol provided put pwd \
quit quota ran read ready received refused reinitialized rein remote removed rename renamed renaming reply request \
requested required requires resource rest restart restarting restricted resume retr return reuse rmd rnfr rnto root \
running secure security select send sent server service session sessions set setting shutting site size slow space \
specified speed ssl start started starting stat status stor storage store stored stou stream structure stru success \
successful successfully such supported syntax syst system temporarily than that the there this through time timeout \
timed times to too total transfer transferred transfers transferring try trying tls type unable unavailable \
unexpected unimplemented unix unknown until up upload use user username user-pi using utf8 value version via was we \
welcome will with within without write xcup xcwd xmkd xpwd xrmd you your zone \
vsftpd proftpd pure-ftpd pyftpdlib filezilla microsoft iis servu serv-u glftpd titan cerberus crushftp wing gene6 \
wu-ftpd bftpd debian ubuntu windows nt linux l8 portolan rehearsal allowed k kb mb gb s sec seconds second";
